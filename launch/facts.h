// What all ranks of a job must agree on before they begin anything (core/graph/agreement.h): the program and what it
// was asked for.
#pragma once

#include <string>
#include <string_view>

#include "configs/schema/run.pb.h"
#include "core/graph/agreement.h"

namespace synthesizer {

// "version 0.1.0, build 3f2a19c04be1d7a5": the version, and a hash of the program's file, which tells two builds of one
// version apart.
std::string program_identity();

// The command and the whole effective configuration, a fact a field.
Facts run_facts(std::string_view command, const config::Run& run);

}  // namespace synthesizer
