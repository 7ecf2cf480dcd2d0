// What a rank computes with, as the planner sees it: figures of a device and of the links between ranks.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/tensor/dtype.h"

namespace synthesizer {

// Products of m × n × k take flops / (peak · reached) · (1 + half_rows / m + half_columns / n + half_depth / k).
struct ProductRate {
  double peak = 0;     // operations a second; utilisation is measured against it
  double reached = 1;  // share of it that large products reach
  double half_rows = 0, half_columns = 0, half_depth = 0;

  double seconds(double flops, double m, double n, double k) const {
    return flops / (peak * reached) * (1 + half_rows / m + half_columns / n + half_depth / k);
  }
};

// α and β: a message of b bytes takes latency + b / bandwidth.
struct LinkRate {
  double latency = 0;    // seconds
  double bandwidth = 1;  // bytes a second that a rank sends, while it receives as many
};

// Messages that a rank sends one after the other in a phase of a collective among n ranks.
enum class CollectiveSteps {
  kDirect,  // n − 1: MpiCommunicator's, in pieces, small all-reduces in one phase instead of two
  kTree,    // log₂ n
};

struct DeviceRates {
  std::string name;
  int64_t memory_bytes = 0;
  int64_t reserved_bytes = 0;  // of them, what libraries take for themselves
  double memory_bandwidth = 1;
  double vector_flops = 1;  // operations a second of what is no product
  double op_seconds = 0;    // to start an op
  ProductRate products;     // of the run's precision
  int ranks_per_host = 1;   // ranks are counted as the mesh counts them: the last axis varies fastest
  LinkRate inside, between;
  CollectiveSteps steps = CollectiveSteps::kTree;
  double taken = 0;                                     // from computing, by a running collective: 0 to 1
  std::map<std::string, double, std::less<>> slowdown;  // by op; 1 where there is none

  double slowdown_of(std::string_view op) const {
    const auto found = slowdown.find(op);
    return found == slowdown.end() ? 1 : found->second;
  }
};

}  // namespace synthesizer
