// Standard output, where programs print their results.
#pragma once

namespace moe {

// Call when everything is printed. Throws CheckpointError (exit code 4) if something could not be written, such as a
// result on a full disk.
void check_output();

}  // namespace moe
