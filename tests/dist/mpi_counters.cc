#include "tests/dist/mpi_counters.h"

#include <mpi.h>

#include <cstdio>
#include <cstdlib>

namespace {

synthesizer::MpiCounters g_counters;

int64_t bytes_of(int count, MPI_Datatype type) {
  int size = 0;
  PMPI_Type_size(type, &size);
  return int64_t{count} * size;
}

int others(MPI_Comm comm) {
  int size = 1;
  PMPI_Comm_size(comm, &size);
  return size - 1;
}

[[noreturn]] void uncounted(const char* call) {
  std::fprintf(stderr, "%s sends, but is not counted: add it to tests/dist/mpi_counters.cc\n", call);
  std::abort();
}

}  // namespace

namespace synthesizer {

const MpiCounters& mpi_counters() { return g_counters; }

}  // namespace synthesizer

extern "C" {

int MPI_Isend(const void* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  ++g_counters.messages;
  g_counters.bytes += bytes_of(count, type);
  return PMPI_Isend(data, count, type, to, tag, comm, request);
}

int MPI_Iallgather(const void* from, int count, MPI_Datatype type, void* to, int to_count, MPI_Datatype to_type,
                   MPI_Comm comm, MPI_Request* request) {
  ++g_counters.gathers;
  g_counters.bytes += bytes_of(count, type) * others(comm);
  return PMPI_Iallgather(from, count, type, to, to_count, to_type, comm, request);
}

int MPI_Ibcast(void* data, int count, MPI_Datatype type, int root, MPI_Comm comm, MPI_Request* request) {
  int rank = 0;
  PMPI_Comm_rank(comm, &rank);
  ++g_counters.broadcasts;
  if (rank == root) g_counters.bytes += bytes_of(count, type) * others(comm);
  return PMPI_Ibcast(data, count, type, root, comm, request);
}

int MPI_Ibarrier(MPI_Comm comm, MPI_Request* request) {
  ++g_counters.barriers;
  return PMPI_Ibarrier(comm, request);
}

int MPI_Send(const void*, int, MPI_Datatype, int, int, MPI_Comm) { uncounted("MPI_Send"); }
int MPI_Ssend(const void*, int, MPI_Datatype, int, int, MPI_Comm) { uncounted("MPI_Ssend"); }
int MPI_Issend(const void*, int, MPI_Datatype, int, int, MPI_Comm, MPI_Request*) { uncounted("MPI_Issend"); }
int MPI_Bcast(void*, int, MPI_Datatype, int, MPI_Comm) { uncounted("MPI_Bcast"); }
int MPI_Allreduce(const void*, void*, int, MPI_Datatype, MPI_Op, MPI_Comm) { uncounted("MPI_Allreduce"); }
int MPI_Iallreduce(const void*, void*, int, MPI_Datatype, MPI_Op, MPI_Comm, MPI_Request*) {
  uncounted("MPI_Iallreduce");
}
int MPI_Reduce(const void*, void*, int, MPI_Datatype, MPI_Op, int, MPI_Comm) { uncounted("MPI_Reduce"); }
int MPI_Ireduce(const void*, void*, int, MPI_Datatype, MPI_Op, int, MPI_Comm, MPI_Request*) {
  uncounted("MPI_Ireduce");
}
int MPI_Reduce_scatter_block(const void*, void*, int, MPI_Datatype, MPI_Op, MPI_Comm) {
  uncounted("MPI_Reduce_scatter_block");
}
int MPI_Ireduce_scatter_block(const void*, void*, int, MPI_Datatype, MPI_Op, MPI_Comm, MPI_Request*) {
  uncounted("MPI_Ireduce_scatter_block");
}
int MPI_Allgather(const void*, int, MPI_Datatype, void*, int, MPI_Datatype, MPI_Comm) { uncounted("MPI_Allgather"); }
int MPI_Alltoall(const void*, int, MPI_Datatype, void*, int, MPI_Datatype, MPI_Comm) { uncounted("MPI_Alltoall"); }
int MPI_Ialltoall(const void*, int, MPI_Datatype, void*, int, MPI_Datatype, MPI_Comm, MPI_Request*) {
  uncounted("MPI_Ialltoall");
}

}  // extern "C"
