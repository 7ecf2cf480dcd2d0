// Files that are whole or not there: written under a temporary name, synced, renamed, the folder synced.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace synthesizer {

// The name a file has until it is whole: "part-00000.h5.partial".
std::filesystem::path partial_name(const std::filesystem::path& path);

// Brings a finished file, written under partial_name(path), to disk and to its name. Error naming path and reason.
void commit_partial(const std::filesystem::path& path);

// The whole file at once. Error (write) or UsageError (read) naming path and reason.
void write_whole_file(const std::filesystem::path& path, std::string_view bytes);
std::string read_whole_file(const std::filesystem::path& path);

}  // namespace synthesizer
