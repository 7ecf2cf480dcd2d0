#include "core/train/signals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "core/base/error.h"
#include "dist/thread_communicator.h"

namespace synthesizer {
namespace {

using ::testing::ThrowsMessage;

TEST(Signals, TheStrongestRequestCounts) {
  SignalHandlers handlers;
  EXPECT_EQ(handlers.requested(), StopRequest::kNone);
  ::raise(SIGCONT);
  EXPECT_EQ(handlers.requested(), StopRequest::kSave);
  handlers.saved();
  EXPECT_EQ(handlers.requested(), StopRequest::kNone);
  ::raise(SIGUSR1);
  EXPECT_EQ(handlers.requested(), StopRequest::kStop);
  ::raise(SIGTERM);
  ::raise(SIGUSR1);
  handlers.saved();
  EXPECT_EQ(handlers.requested(), StopRequest::kStopNow);
  run_ranks(3, [&](Communicator& world) { EXPECT_EQ(handlers.requested(world), StopRequest::kStopNow); });
}

TEST(Signals, WhatWasThereBeforeComesBack) {
  struct sigaction before {};
  ::sigaction(SIGUSR1, nullptr, &before);
  auto handlers = std::make_unique<SignalHandlers>();
  EXPECT_THROW(SignalHandlers second, Error);
  handlers.reset();
  struct sigaction after {};
  ::sigaction(SIGUSR1, nullptr, &after);
  EXPECT_EQ(after.sa_handler, before.sa_handler);
  EXPECT_EQ(SignalHandlers().requested(), StopRequest::kNone);
}

TEST(Signals, ASecondInterruptEndsTheProgram) {
  EXPECT_EXIT(
      {
        SignalHandlers handlers;
        ::raise(SIGINT);
        if (handlers.requested() != StopRequest::kStopNow) ::_exit(3);
        ::raise(SIGINT);
        ::_exit(0);
      },
      ::testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace synthesizer
