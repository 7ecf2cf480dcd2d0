// What an action throws, in words.
#pragma once

#include <functional>
#include <string>

#include "core/base/error.h"

namespace synthesizer {

// Of an Error; "nothing thrown" if there is none.
inline std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing thrown";
}

}  // namespace synthesizer
