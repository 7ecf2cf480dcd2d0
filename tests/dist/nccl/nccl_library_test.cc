#include "dist/nccl/nccl_library.h"

#include "tests/dist/nccl/nccl_ranks.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(NcclTest, TheLibrarySaysWhatItIs) {
  fake.set_version(22809);
  setenv("SYNTHESIZER_NCCL", FAKE_NCCL, 1);
  const NcclLibrary library = NcclLibrary::find();
  unsetenv("SYNTHESIZER_NCCL");
  EXPECT_EQ(library.version(), 22809);
  EXPECT_EQ(library.name(), "NCCL 2.28.9 (" FAKE_NCCL ")");
}

TEST_F(NcclTest, AnOldLibraryIsRefused) {
  fake.set_version(21705);
  EXPECT_THAT(message_of([] { NcclLibrary::load(FAKE_NCCL); }),
              AllOf(HasSubstr("[nccl] NCCL 2.17.5"), HasSubstr("expected 2.18.0 or newer")));
}

TEST(NcclLibraryTest, AFileThatIsNotThereIsNamed) {
  setenv("SYNTHESIZER_NCCL", "/nowhere/libnccl.so.2", 1);
  EXPECT_THAT(message_of([] { NcclLibrary::find(); }), HasSubstr("/nowhere/libnccl.so.2"));
  unsetenv("SYNTHESIZER_NCCL");
}

}  // namespace
}  // namespace synthesizer
