// What a call complains about, as text.
#pragma once

#include <functional>
#include <string>

#include "core/base/error.h"

namespace synthesizer {

// The message of the UsageError that `call` throws; "" where it throws none.
inline std::string usage_message(const std::function<void()>& call) {
  try {
    call();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

}  // namespace synthesizer
