#include "core/train/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/base/file.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

TEST(Progress, Texts) {
  EXPECT_EQ(duration_text(-1), "-");
  EXPECT_EQ(duration_text(7.4), "0:07");
  EXPECT_EQ(duration_text(123), "2:03");
  EXPECT_EQ(duration_text(3723), "1:02:03");
  EXPECT_EQ(duration_text(2 * 86400 + 11045), "2d 3:04:05");
  EXPECT_EQ(rate_text(950), "950");
  EXPECT_EQ(rate_text(12345), "12.3k");
  EXPECT_EQ(rate_text(999999), "1.0M");
  EXPECT_EQ(rate_text(4.5e6), "4.5M");
}

TEST(Progress, TheBarFitsItsColumns) {
  const ProgressFigures figures{250, 1000, 6.7891, 12345, 42};
  EXPECT_EQ(progress_bar(figures, 70), "[######....................] 250/1000 loss 6.789 12.3k tok/s 0:42 left");
  for (int columns = 0; columns < 120; ++columns)
    EXPECT_LE(progress_bar(figures, columns).size(), static_cast<size_t>(columns));
  EXPECT_EQ(progress_bar({1000, 1000, 1, 1, 0}, 80).substr(0, 42), "[" + std::string(40, '#') + "]");
}

// A clock that goes on by a second at each look.
Progress::Clock ticking() {
  return [now = std::chrono::steady_clock::time_point()]() mutable { return now += std::chrono::seconds(1); };
}

TEST(Progress, LinesWhereThereIsNoTerminal) {
  const TemporaryFolder folder;
  const File file(folder / "stderr", O_RDWR | O_CREAT);
  {
    Progress progress(
        {.first_step = 100, .total = 107, .log_every = 5, .descriptor = file.descriptor(), .clock = ticking()});
    for (int64_t step = 101; step <= 107; ++step) progress.update(step, 6.789012, 950);
    progress.message("validation loss 5.5");
  }
  EXPECT_EQ(read_text_file(file.path()),
            "step 105/107 loss 6.78901 950 tok/s, 0:02 left\n"
            "step 107/107 loss 6.78901 950 tok/s, 0:00 left\n"
            "validation loss 5.5\n");
}

TEST(Progress, ABarOnATerminal) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(::grantpt(terminal), 0);
  ASSERT_EQ(::unlockpt(terminal), 0);
  {
    const File screen(::ptsname(terminal), O_RDWR | O_NOCTTY);
    const winsize size{.ws_row = 24, .ws_col = 81};
    ASSERT_EQ(::ioctl(screen.descriptor(), TIOCSWINSZ, &size), 0);
    Progress progress({.total = 4, .descriptor = screen.descriptor(), .clock = ticking()});
    progress.update(1, 2.5, 100);
    progress.message("saved");
    progress.update(4, 2.25, 100);
  }
  std::string shown;  // a read may give less than all; with nobody at the other side, the last one fails
  char bytes[4096];
  for (ssize_t got = 0; (got = ::read(terminal, bytes, sizeof bytes)) > 0;)
    shown.append(bytes, static_cast<size_t>(got));
  ::close(terminal);
  EXPECT_THAT(shown, AllOf(HasSubstr("\r\033[K[##########............................"), HasSubstr("\r\033[Ksaved\r\n"),
                           HasSubstr("4/4 loss 2.25"), EndsWith("left\r\n")));
}

}  // namespace
}  // namespace synthesizer
