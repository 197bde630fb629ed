// The inspection as one self-contained web page: no scripts, no other files.
#pragma once
#include <string>

#include "core/inspect/inspection.h"

namespace moe {

std::string html_report(const Inspection& inspection);

// Where the page goes; empty for nowhere. `wanted`: asked for, with `file` or, if that is empty, in the
// folder of the run that `run_or_checkpoint` belongs to. Not asked for, runs get one and checkpoints none.
// Throws UsageError for a page that was asked for and has no place.
std::string report_path(const std::string& file, bool wanted, const std::string& run_or_checkpoint);

// Throws CheckpointError when it `must`; otherwise a folder that cannot be written to is only a warning.
void write_report(const std::string& path, const std::string& page, bool must);

}  // namespace moe
