// The inspection as one self-contained web page: no scripts, no other files.
#pragma once
#include <string>

#include "core/inspect/inspection.h"

namespace moe {

std::string html_report(const Inspection& inspection);

// The path of the page; empty for no page. `wanted`: the user asked for a page, in `file` or, if that is empty, in the
// folder of the run that `run_or_checkpoint` belongs to. If not asked for, runs get one and checkpoints none. Throws
// UsageError when the user asked for a page and there is no place for it.
std::string report_path(const std::string& file, bool wanted, const std::string& run_or_checkpoint);

// Throws CheckpointError if `must`; otherwise a folder that cannot be written to causes only a warning.
void write_report(const std::string& path, const std::string& page, bool must);

}  // namespace moe
