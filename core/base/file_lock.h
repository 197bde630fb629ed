// The kernel's locks on files. They end with the process that holds them, however it ends.
#pragma once
#include <string>

namespace moe {

// Locks an open file for this process alone, and waits for it if `waits`. Returns 0, EWOULDBLOCK where another process
// holds the lock and the call does not wait, or another error of errno where the file system has no locks.
int lock_file(int descriptor, bool waits);

// What may stand in for lock_file, as where a file system has no locks.
using LockFile = int (*)(int descriptor, bool waits);

// Whether the path, also through a link, leads to the file or folder that is open: not if that was removed, renamed or
// replaced.
bool leads_to(const std::string& path, int descriptor);

}  // namespace moe
