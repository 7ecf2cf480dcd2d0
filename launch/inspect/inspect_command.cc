// `synthesizer inspect`: the commands that look inside, one file each.
#include "launch/commands.h"

namespace synthesizer {

void add_inspect_command(CommandLine& line) {
  line.add("inspect", "What a run computes, and what it has learnt", "", nullptr);
  add_inspect_graph_command(line);
  add_inspect_checkpoint_command(line);
  add_inspect_alignment_command(line);
}

}  // namespace synthesizer
