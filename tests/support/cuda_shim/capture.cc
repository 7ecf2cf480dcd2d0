// Captures and graphs: what a capturing stream records, and running it.
#include <algorithm>

#include "tests/support/cuda_shim/include/cuda_shim/host_api.h"
#include "tests/support/cuda_shim/runtime.h"

using cuda_shim::Capture;
using cuda_shim::GraphNode;
using cuda_shim::handles;
using cuda_shim::note;
using cuda_shim::state_mutex;

struct CUgraph_st {
  std::vector<GraphNode> nodes;
};
struct CUgraphExec_st {
  std::shared_ptr<const std::vector<GraphNode>> nodes;
};

namespace cuda_shim {

cudaError_t check_no_capture(Waits waits, cudaStream_t stream, cudaEvent_t event) {
  const std::lock_guard lock(state_mutex());
  bool forbidden = false;
  for (const std::shared_ptr<Capture>& capture : handles().captures) {
    const bool own = capture->thread == std::this_thread::get_id();
    const bool strict =
        capture->mode == cudaStreamCaptureModeGlobal || (capture->mode == cudaStreamCaptureModeThreadLocal && own);
    const bool waited_for = (waits == Waits::kDevice && own) || (stream != nullptr && stream->capture == capture) ||
                            (event != nullptr && event->capture == capture);
    if (!strict && !waited_for) continue;
    capture->invalid = true;
    forbidden = true;
  }
  if (!forbidden) return cudaSuccess;
  ++settings().capture_violations;
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t submit(cudaStream_t stream, std::function<void()> work) {
  {
    const std::lock_guard lock(state_mutex());
    if (stream == nullptr) {
      // The legacy stream waits for every blocking stream, so for one that captures.
      for (const std::shared_ptr<Capture>& capture : handles().captures)
        if (capture->thread == std::this_thread::get_id() && (capture->origin->flags & cudaStreamNonBlocking) == 0) {
          capture->invalid = true;
          ++settings().capture_violations;
          return note(cudaErrorStreamCaptureImplicit);
        }
    } else if (handles().streams.count(stream) == 0) {
      return note(cudaErrorInvalidResourceHandle);
    } else if (stream->capture != nullptr) {
      Capture& capture = *stream->capture;
      if (capture.invalid) return note(cudaErrorStreamCaptureInvalidated);
      capture.nodes.push_back({std::move(work), stream->after});
      stream->after = {static_cast<int>(capture.nodes.size()) - 1};
      return cudaSuccess;
    }
  }
  work();
  return cudaSuccess;
}

void run_nodes(const std::vector<GraphNode>& nodes) {
  const int count = static_cast<int>(nodes.size());
  std::vector<int> order, place(nodes.size()), missing(nodes.size());
  orders().fill(order, nodes.size());
  std::vector<std::vector<int>> next(nodes.size());
  std::set<int> ready;  // places in the order
  for (int i = 0; i < count; ++i) place[order[i]] = i;
  for (int node = 0; node < count; ++node) {
    missing[node] = static_cast<int>(nodes[node].after.size());
    for (int before : nodes[node].after) next[before].push_back(node);
    if (missing[node] == 0) ready.insert(place[node]);
  }
  while (!ready.empty()) {
    const int node = order[*ready.begin()];
    ready.erase(ready.begin());
    nodes[node].work();
    for (int after : next[node])
      if (--missing[after] == 0) ready.insert(place[after]);
  }
}

namespace {

// The nodes that one of `nodes` depends on, and they themselves.
std::set<int> all_before(const std::vector<GraphNode>& graph, const std::set<int>& nodes) {
  std::set<int> found = nodes;
  std::vector<int> open(nodes.begin(), nodes.end());
  while (!open.empty()) {
    const int node = open.back();
    open.pop_back();
    for (int before : graph[node].after)
      if (found.insert(before).second) open.push_back(before);
  }
  return found;
}

}  // namespace
}  // namespace cuda_shim

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const std::lock_guard lock(state_mutex());
  if (stream == nullptr) return note(cudaErrorStreamCaptureUnsupported);
  if (handles().streams.count(stream) == 0) return note(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) return note(cudaErrorIllegalState);
  stream->capture = std::make_shared<Capture>();
  stream->capture->mode = mode;
  stream->capture->origin = stream;
  stream->capture->thread = std::this_thread::get_id();
  stream->capture->streams = {stream};
  stream->after.clear();
  handles().captures.push_back(stream->capture);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::lock_guard lock(state_mutex());
  if (graph == nullptr) return note(cudaErrorInvalidValue);
  *graph = nullptr;
  if (stream == nullptr || handles().streams.count(stream) == 0) return note(cudaErrorInvalidResourceHandle);
  const std::shared_ptr<Capture> capture = stream->capture;
  if (capture == nullptr) return note(cudaErrorIllegalState);
  if (capture->origin != stream) return note(cudaErrorStreamCaptureUnmatched);
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
    return note(cudaErrorStreamCaptureWrongThread);

  const std::set<int> joined = cuda_shim::all_before(capture->nodes, stream->after);
  bool unjoined = false;
  for (cudaStream_t other : capture->streams) {
    unjoined |= !std::includes(joined.begin(), joined.end(), other->after.begin(), other->after.end());
    other->capture = nullptr;
    other->after.clear();
  }
  capture->ended = true;
  std::erase(handles().captures, capture);
  if (capture->invalid) return note(cudaErrorStreamCaptureInvalidated);
  if (unjoined) return note(cudaErrorStreamCaptureUnjoined);
  *graph = new CUgraph_st{std::move(capture->nodes)};
  handles().graphs.insert(*graph);
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const std::lock_guard lock(state_mutex());
  if (status == nullptr) return note(cudaErrorInvalidValue);
  if (stream != nullptr && handles().streams.count(stream) == 0) return note(cudaErrorInvalidResourceHandle);
  if (stream == nullptr || stream->capture == nullptr)
    *status = cudaStreamCaptureStatusNone;
  else
    *status = stream->capture->invalid ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  const std::lock_guard lock(state_mutex());
  if (nodes != nullptr || count == nullptr || handles().graphs.count(graph) == 0) return note(cudaErrorInvalidValue);
  *count = graph->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  const std::lock_guard lock(state_mutex());
  if (exec == nullptr || handles().graphs.count(graph) == 0) return note(cudaErrorInvalidValue);
  *exec = new CUgraphExec_st{std::make_shared<const std::vector<GraphNode>>(graph->nodes)};
  handles().execs.insert(*exec);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  std::shared_ptr<const std::vector<GraphNode>> nodes;
  {
    const std::lock_guard lock(state_mutex());
    if (handles().execs.count(exec) == 0) return note(cudaErrorInvalidValue);
    nodes = exec->nodes;
  }
  return cuda_shim::submit(stream, [nodes] { cuda_shim::run_nodes(*nodes); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const std::lock_guard lock(state_mutex());
  if (handles().graphs.erase(graph) == 0) return note(cudaErrorInvalidValue);
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  const std::lock_guard lock(state_mutex());
  if (handles().execs.erase(exec) == 0) return note(cudaErrorInvalidValue);
  delete exec;
  return cudaSuccess;
}
