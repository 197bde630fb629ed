// Standard output, where programs print their results.
#pragma once

namespace moe {

// Call when everything is printed. Throws CheckpointError (exit code 4) if something could not be written, such as a
// result on a full disk.
void check_output();

// Whether a file descriptor is a terminal that understands escape sequences: not TERM=dumb, as in editors and logs.
bool is_capable_terminal(int descriptor);

// Whether standard output is a terminal that supports colour (NO_COLOR is respected).
bool wants_colour();

}  // namespace moe
