// The program's commands, one file each; main adds them all.
#pragma once

#include "launch/command_line.h"

namespace synthesizer {

void add_bench_command(CommandLine& line);  // with the four below it
void add_bench_comm_command(CommandLine& line);
void add_bench_data_command(CommandLine& line);
void add_bench_kernels_command(CommandLine& line);
void add_bench_step_command(CommandLine& line);
void add_data_command(CommandLine& line);
void add_eval_command(CommandLine& line);
void add_generate_command(CommandLine& line);
void add_inspect_command(CommandLine& line);  // with the three below it
void add_inspect_alignment_command(CommandLine& line);
void add_inspect_checkpoint_command(CommandLine& line);
void add_inspect_graph_command(CommandLine& line);
void add_plan_command(CommandLine& line);
void add_train_command(CommandLine& line);

}  // namespace synthesizer
