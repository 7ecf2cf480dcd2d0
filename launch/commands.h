// The program's commands, one file each; main adds them all.
#pragma once

#include "launch/command_line.h"

namespace synthesizer {

void add_bench_command(CommandLine& line);  // bench_command.cc
void add_data_command(CommandLine& line);   // data_command.cc
void add_train_command(CommandLine& line);  // train_command.cc

}  // namespace synthesizer
