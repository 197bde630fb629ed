// Looks at a run again and again, in a terminal.
#pragma once
#include <string>

namespace moe {

// Prints watch_screen() to standard output, every so many seconds until the run is over, in place if it is a terminal.
// With `once`, or where standard output is no terminal: once. Throws CheckpointError.
void watch_run(const std::string& folder, double seconds, bool once);

}  // namespace moe
