// Files that survive a power cut: written, synced, renamed.
#pragma once
#include <functional>
#include <string>

namespace moe {

// Creates `path`, lets `write` fill it through the given sink, syncs and closes it. Replaces a file or link of that
// name; a link is not followed, because another user may have put it there. `patch`, if given, then overwrites parts
// of what was written. Throws CheckpointError with the system's reason and removes what was written.
using FileSink = std::function<void(const void* data, size_t bytes)>;
using FilePatch = std::function<void(const void* data, size_t bytes, size_t offset)>;
void write_synced(const std::string& path, const std::function<void(const FileSink&)>& write,
                  const std::function<void(const FilePatch&)>& patch = {});
void write_text_synced(const std::string& path, const std::string& text);
// The same through a temporary name: after a crash `path` holds either the old or the new text. For files that one
// process writes at a time, as those below a run's lock; what a killed process left behind is replaced.
void replace_text(const std::string& path, const std::string& text);
// The same for files that several processes, also of several machines, may write at once: the last one counts. A
// process that is killed meanwhile leaves its temporary file behind.
void replace_shared_text(const std::string& path, const std::string& text);
// A name beside `path` that no other process of any machine uses, and the move to its place.
std::string temporary_beside(const std::string& path);
void move_into_place(const std::string& temporary, const std::string& path);

void sync_folder(const std::string& path);
std::string read_text(const std::string& path);  // throws CheckpointError with the system's reason
// The file's content in pieces of at most a megabyte. Throws CheckpointError.
void read_blocks(const std::string& path, const FileSink& sink);
// Whether there is a file or folder of this name; a link that leads nowhere is none. Throws CheckpointError when the
// system does not say.
bool file_exists(const std::string& path);
void make_folder(const std::string& path);  // with parents; throws CheckpointError

}  // namespace moe
