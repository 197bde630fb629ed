// Files that survive a power cut: written, synced, renamed.
#pragma once
#include <functional>
#include <string>

namespace moe {

// Creates `path`, lets `write` fill it through the given sink, syncs and closes it. Throws CheckpointError with the
// system's reason and removes what was written.
using FileSink = std::function<void(const void* data, size_t bytes)>;
void write_synced(const std::string& path, const std::function<void(const FileSink&)>& write);
void write_text_synced(const std::string& path, const std::string& text);
// The same through a temporary name: after a crash `path` holds either the old or the new text.
void replace_text(const std::string& path, const std::string& text);

void sync_folder(const std::string& path);
std::string read_text(const std::string& path);  // throws CheckpointError
void make_folder(const std::string& path);       // with parents; throws CheckpointError

}  // namespace moe
