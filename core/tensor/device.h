// A device with memory of its own, which the host cannot read: what it gives out of that memory, how bytes get across,
// and in which order it does what it is given. The host itself is no Device: a null pointer stands for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace synthesizer {

// Where jobs run beside a program's kernels, one after the other in the order in which they were submitted.
class Lane {
 public:
  virtual ~Lane() = default;
  // Each job at most once between two calls of finish(). What was given to the device before comes first.
  virtual void submit(size_t job) = 0;
  // What is given to the device from now on comes after the job (on the host: returns when it has ended).
  virtual void wait(size_t job) = 0;
  // The same for everything submitted; makes the lane ready for another round.
  virtual void finish() = 0;
};

// Does the same work again and again: a device may keep what it was given once, and begin it all in one call.
class Replay {
 public:
  virtual ~Replay() = default;
  // `enqueue` gives the work to the device, the same at each call. It need not be called each time.
  virtual void run(const std::function<void()>& enqueue) = 0;
};

// A point in what the device is given, to wait for.
class Mark {
 public:
  virtual ~Mark() = default;
  virtual void set() = 0;
  // Returns when all that was given before the last set() is done; at once if there was none.
  virtual void wait() = 0;
};

// How long a device works on what it is given between two points, by its own clock.
class Timer {
 public:
  virtual ~Timer() = default;
  virtual void begin() = 0;
  virtual void end() = 0;
  // Waits for the end.
  virtual double seconds() = 0;
};

// Everything that is given to a device is done in the order in which it was given, but for what runs on a Lane. One
// thread at a time may use a device. All throw Error, and name the device.
class Device {
 public:
  virtual ~Device() = default;
  virtual std::string name() const = 0;

  // Memory of the device, zeroed, aligned to kAlignment (core/tensor/storage.h) at least. The error says how much was
  // asked for and how much is free.
  virtual std::byte* allocate(int64_t bytes) = 0;
  virtual void release(std::byte* memory) noexcept = 0;
  // Memory of the host that stays where it is, zeroed, from which and to which the device copies by itself.
  virtual std::byte* allocate_pinned(int64_t bytes) = 0;
  virtual void release_pinned(std::byte* memory) noexcept = 0;

  // From memory of the host to the device's; `from` may be written again once it returns.
  virtual void upload(void* to, const void* from, int64_t bytes) = 0;
  // The same; it returns at once, and `from` is pinned and stays as it is until the copy is done.
  virtual void upload_later(void* to, const void* from, int64_t bytes) = 0;
  // From the device to the host, where the bytes are once it returns.
  virtual void download(void* to, const void* from, int64_t bytes) = 0;
  // Returns when all that was given is done.
  virtual void finish() = 0;
  // What is given from now on is part of this, for messages; the text stays where it is. Empty: of nothing that has a
  // name.
  virtual void name_work(std::string_view) {}

  virtual std::unique_ptr<Lane> lane(std::vector<std::function<void()>> jobs) = 0;
  virtual std::unique_ptr<Replay> replay() = 0;
  virtual std::unique_ptr<Mark> mark() = 0;
  virtual std::unique_ptr<Timer> timer() = 0;
};

// As Device::upload and Device::download; on the host, copies.
void upload(Device* device, void* to, const void* from, int64_t bytes);
void download(Device* device, void* to, const void* from, int64_t bytes);

}  // namespace synthesizer
