// Errors and checks. Libraries throw; only launch catches, prints one line and chooses the exit code.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace synthesizer {

// Something failed while running: exit code 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Wrong usage, configuration or input, found before anything was started or overwritten: exit code 2.
// Message form: "what is wrong: got A, expected B. hint".
class UsageError : public Error {
 public:
  using Error::Error;
};

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
[[noreturn]] void fail_usage(fmt::format_string<Args...> format, Args&&... args) {
  throw UsageError(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace synthesizer

// An invariant of the program itself: throws Error with the condition, the place and a formatted message.
#define CHECK(condition, ...)                                                                           \
  do {                                                                                                  \
    if (!(condition)) [[unlikely]]                                                                      \
      ::synthesizer::fail("{}:{}: " #condition ": {}", __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
  } while (false)
