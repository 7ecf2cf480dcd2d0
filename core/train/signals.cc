#include "core/train/signals.h"

#include <algorithm>
#include <atomic>
#include <iterator>

#include "core/base/error.h"

namespace synthesizer {
namespace {

constexpr int kSignals[] = {SIGUSR1, SIGTERM, SIGINT, SIGCONT};

// A signal handler can reach nothing but statics; they are this file's alone.
std::atomic<int> g_stop{0};
std::atomic<bool> g_save{false};
std::atomic<bool> g_installed{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void raise_stop(StopRequest request) {
  int before = g_stop.load();
  while (before < static_cast<int>(request) && !g_stop.compare_exchange_weak(before, static_cast<int>(request))) {
  }
}

extern "C" void on_signal(int signal) {
  if (signal == SIGCONT) g_save = true;
  if (signal == SIGUSR1) raise_stop(StopRequest::kStop);
  if (signal == SIGTERM || signal == SIGINT) raise_stop(StopRequest::kStopNow);
}

}  // namespace

SignalHandlers::SignalHandlers() {
  CHECK(!g_installed.exchange(true), "signals are handled already");
  g_stop = 0;
  g_save = false;
  for (size_t i = 0; i < std::size(kSignals); ++i) {
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    // Calls of MPI and the file system go on; the second INT finds the default, which ends the program.
    action.sa_flags = SA_RESTART | (kSignals[i] == SIGINT ? static_cast<int>(SA_RESETHAND) : 0);
    CHECK(::sigaction(kSignals[i], &action, &before_[i]) == 0, "signal {}", kSignals[i]);
  }
}

SignalHandlers::~SignalHandlers() {
  for (size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &before_[i], nullptr);
  g_installed = false;
}

StopRequest SignalHandlers::requested() const {
  const auto stop = static_cast<StopRequest>(g_stop.load());
  return stop == StopRequest::kNone && g_save ? StopRequest::kSave : stop;
}

StopRequest SignalHandlers::requested(Communicator& world) const {
  auto strongest = static_cast<int32_t>(requested());
  world.all_reduce(&strongest, 1, DType::kInt32, Reduction::kMax);
  return static_cast<StopRequest>(strongest);
}

void SignalHandlers::saved() { g_save = false; }

}  // namespace synthesizer
