// A library for LD_PRELOAD: of the calls that a program makes on files below a folder, the n-th fails, is done by half,
// or is where the process is killed. Variables of the environment:
//
//   MOE_FAULT_FOLDER  the folder, absolute; without it nothing is changed
//   MOE_FAULT_AT      n, counted from 1; 0 or absent: calls are counted and none fails
//   MOE_FAULT_KIND    an error (ENOSPC, EIO, EACCES); "short": a write does half of its bytes, other calls are done as
//                     always; "kill": SIGKILL in place of the call; "torn": half of a write, then SIGKILL; "SIGTERM":
//                     the call is done, after the process was sent this signal
//   MOE_FAULT_LASTS   set: all later calls fail as well, as on a disk that stays full
//   MOE_FAULT_TEXT    only writes of something that contains this text are counted
//   MOE_FAULT_RANK    the rank of mpirun that is meant; absent: every process
//   MOE_FAULT_LOG     a file to which the name and the path of each counted call is appended
//
// Nothing here depends on the program: a new call in it is counted without a change here, as long as its name is one of
// those below. Calls within the C library, as of fclose(), cannot be seen.
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

struct Plan {
  std::string folder, kind, log, text;
  long at = 0;
  bool lasts = false;
  int error = 0;
};

int error_named(const std::string& name) {
  if (name == "ENOSPC") return ENOSPC;
  if (name == "EIO") return EIO;
  if (name == "EACCES") return EACCES;
  return 0;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

const Plan& plan() {
  static const Plan made = [] {
    Plan p;
    const std::string rank = variable("MOE_FAULT_RANK");
    if (!rank.empty() && rank != variable("OMPI_COMM_WORLD_RANK")) return p;
    p.folder = variable("MOE_FAULT_FOLDER");
    p.kind = variable("MOE_FAULT_KIND");
    p.log = variable("MOE_FAULT_LOG");
    p.text = variable("MOE_FAULT_TEXT");
    p.at = std::atol(variable("MOE_FAULT_AT").c_str());
    p.lasts = std::getenv("MOE_FAULT_LASTS") != nullptr;
    p.error = error_named(p.kind);
    return p;
  }();
  return made;
}

std::string absolute(const char* path) {
  if (!path || path[0] == '/') return path ? path : "";
  char current[PATH_MAX];
  return ::getcwd(current, sizeof current) ? std::string(current) + "/" + path : path;
}

std::string path_of(int descriptor) {
  char name[64], path[PATH_MAX];
  std::snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
  const ssize_t length = ::readlink(name, path, sizeof path);
  return length > 0 ? std::string(path, static_cast<size_t>(length)) : "";
}

std::string path_at(int folder, const char* path) {
  if (!path || path[0] == '/' || folder == AT_FDCWD) return absolute(path);
  return path_of(folder) + "/" + path;
}

void note(const char* call, const std::string& path) {
  if (plan().log.empty()) return;
  const std::string line = std::string(call) + " " + path + "\n";
  const long file = ::syscall(SYS_openat, AT_FDCWD, plan().log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (file < 0) return;
  ::syscall(SYS_write, file, line.data(), line.size());
  ::syscall(SYS_close, file);
}

enum class Fate { as_always, fails, half, half_and_killed };

// Counts the call, and says what becomes of it. `written`: the bytes of a write, which can be done by half.
Fate fate(const char* call, const std::string& path, std::string_view written = {}) {
  const Plan& p = plan();
  const bool writes = !written.empty();
  if (p.folder.empty() || path.rfind(p.folder, 0) != 0) return Fate::as_always;
  if (!p.text.empty() && written.find(p.text) == written.npos) return Fate::as_always;
  static std::atomic<long> calls{0};
  const long number = ++calls;
  note(call, path);
  if (p.at == 0 || (p.lasts ? number < p.at : number != p.at)) return Fate::as_always;
  if (p.kind == "torn" && writes) return Fate::half_and_killed;
  if (p.kind == "kill" || p.kind == "torn") ::kill(::getpid(), SIGKILL);
  if (p.kind == "SIGTERM") {
    ::kill(::getpid(), SIGTERM);
    return Fate::as_always;
  }
  if (p.kind == "short") return writes ? Fate::half : Fate::as_always;
  errno = p.error;
  return Fate::fails;
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

// Does a write of `size` bytes by `write`, which takes a number of bytes.
template <class Write>
ssize_t write_by(const char* call, int file, const void* data, size_t size, Write write) {
  const Fate f = fate(call, path_of(file), {static_cast<const char*>(data), size});
  if (f == Fate::as_always) return write(size);
  if (f == Fate::fails) return -1;
  const ssize_t done = write(size > 1 ? size / 2 : size);
  if (f == Fate::half_and_killed) ::kill(::getpid(), SIGKILL);
  return done;
}

bool creates(int flags) {
  return (flags & (O_CREAT | O_TRUNC)) != 0 || (flags & O_ACCMODE) != O_RDONLY;
}

}  // namespace

extern "C" {

ssize_t write(int file, const void* data, size_t size) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  return write_by("write", file, data, size, [&](size_t n) { return real(file, data, n); });
}

ssize_t writev(int file, const iovec* pieces, int count) {
  static const auto real = next<ssize_t (*)(int, const iovec*, int)>("writev");
  const Fate f = fate("writev", path_of(file));
  return f == Fate::fails ? -1 : real(file, pieces, count);
}

ssize_t pwrite(int file, const void* data, size_t size, off_t offset) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return write_by("pwrite", file, data, size, [&](size_t n) { return real(file, data, n, offset); });
}

ssize_t pwrite64(int file, const void* data, size_t size, off64_t offset) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64");
  return write_by("pwrite", file, data, size, [&](size_t n) { return real(file, data, n, offset); });
}

size_t fwrite(const void* data, size_t size, size_t count, FILE* file) {
  static const auto real = next<size_t (*)(const void*, size_t, size_t, FILE*)>("fwrite");
  const Fate f = fate("fwrite", path_of(::fileno(file)), {static_cast<const char*>(data), size * count});
  if (f == Fate::as_always) return real(data, size, count, file);
  if (f == Fate::fails) return 0;
  const size_t items = size == 1 ? count / 2 : 0;  // half of one record is none
  const size_t done = real(data, size, items, file);
  if (f == Fate::half_and_killed) {
    static const auto flush = next<int (*)(FILE*)>("fflush");
    flush(file);
    ::kill(::getpid(), SIGKILL);
  }
  errno = ENOSPC;
  return done;
}

int fflush(FILE* file) {
  static const auto real = next<int (*)(FILE*)>("fflush");
  const Fate f = file ? fate("fflush", path_of(::fileno(file))) : Fate::as_always;
  return f == Fate::fails ? EOF : real(file);
}

int fsync(int file) {
  static const auto real = next<int (*)(int)>("fsync");
  return fate("fsync", path_of(file)) == Fate::fails ? -1 : real(file);
}

int fdatasync(int file) {
  static const auto real = next<int (*)(int)>("fdatasync");
  return fate("fdatasync", path_of(file)) == Fate::fails ? -1 : real(file);
}

int ftruncate(int file, off_t size) noexcept {
  static const auto real = next<int (*)(int, off_t)>("ftruncate");
  return fate("ftruncate", path_of(file)) == Fate::fails ? -1 : real(file, size);
}

int ftruncate64(int file, off64_t size) noexcept {
  static const auto real = next<int (*)(int, off64_t)>("ftruncate64");
  return fate("ftruncate", path_of(file)) == Fate::fails ? -1 : real(file, size);
}

int rename(const char* from, const char* to) noexcept {
  static const auto real = next<int (*)(const char*, const char*)>("rename");
  return fate("rename", absolute(to)) == Fate::fails ? -1 : real(from, to);
}

int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  static const auto real = next<int (*)(int, const char*, int, const char*)>("renameat");
  return fate("rename", path_at(to_folder, to)) == Fate::fails ? -1 : real(from_folder, from, to_folder, to);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto real = next<int (*)(const char*, mode_t)>("mkdir");
  return fate("mkdir", absolute(path)) == Fate::fails ? -1 : real(path, mode);
}

int unlink(const char* path) noexcept {
  static const auto real = next<int (*)(const char*)>("unlink");
  return fate("unlink", absolute(path)) == Fate::fails ? -1 : real(path);
}

int unlinkat(int folder, const char* path, int flags) noexcept {
  static const auto real = next<int (*)(int, const char*, int)>("unlinkat");
  return fate("unlink", path_at(folder, path)) == Fate::fails ? -1 : real(folder, path, flags);
}

int rmdir(const char* path) noexcept {
  static const auto real = next<int (*)(const char*)>("rmdir");
  return fate("unlink", absolute(path)) == Fate::fails ? -1 : real(path);
}

int remove(const char* path) noexcept {
  static const auto real = next<int (*)(const char*)>("remove");
  return fate("unlink", absolute(path)) == Fate::fails ? -1 : real(path);
}

dirent* readdir(DIR* folder) {
  static const auto real = next<dirent* (*)(DIR*)>("readdir");
  return fate("readdir", path_of(::dirfd(folder))) == Fate::fails ? nullptr : real(folder);
}

dirent64* readdir64(DIR* folder) {
  static const auto real = next<dirent64* (*)(DIR*)>("readdir64");
  return fate("readdir", path_of(::dirfd(folder))) == Fate::fails ? nullptr : real(folder);
}

void* mmap(void* address, size_t size, int protection, int flags, int file, off_t offset) noexcept {
  static const auto real = next<void* (*)(void*, size_t, int, int, int, off_t)>("mmap");
  const Fate f = file >= 0 ? fate("mmap", path_of(file)) : Fate::as_always;
  return f == Fate::fails ? MAP_FAILED : real(address, size, protection, flags, file, offset);
}

void* mmap64(void* address, size_t size, int protection, int flags, int file, off64_t offset) noexcept {
  static const auto real = next<void* (*)(void*, size_t, int, int, int, off64_t)>("mmap64");
  const Fate f = file >= 0 ? fate("mmap", path_of(file)) : Fate::as_always;
  return f == Fate::fails ? MAP_FAILED : real(address, size, protection, flags, file, offset);
}

FILE* fopen(const char* path, const char* mode) {
  static const auto real = next<FILE* (*)(const char*, const char*)>("fopen");
  const bool counts = mode[0] != 'r' && fate("open", absolute(path)) == Fate::fails;
  return counts ? nullptr : real(path, mode);
}

FILE* fopen64(const char* path, const char* mode) {
  static const auto real = next<FILE* (*)(const char*, const char*)>("fopen64");
  const bool counts = mode[0] != 'r' && fate("open", absolute(path)) == Fate::fails;
  return counts ? nullptr : real(path, mode);
}

// open() and its relatives have a mode only where they create.
#define MOE_OPEN(NAME)                                                                           \
  int NAME(const char* path, int flags, ...) {                                                   \
    static const auto real = next<int (*)(const char*, int, ...)>(#NAME);                        \
    va_list more;                                                                                \
    va_start(more, flags);                                                                       \
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : mode_t{0}; \
    va_end(more);                                                                                \
    if (creates(flags) && fate("open", absolute(path)) == Fate::fails) return -1;                \
    return real(path, flags, mode);                                                              \
  }
#define MOE_OPENAT(NAME)                                                                         \
  int NAME(int folder, const char* path, int flags, ...) {                                       \
    static const auto real = next<int (*)(int, const char*, int, ...)>(#NAME);                   \
    va_list more;                                                                                \
    va_start(more, flags);                                                                       \
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : mode_t{0}; \
    va_end(more);                                                                                \
    if (creates(flags) && fate("open", path_at(folder, path)) == Fate::fails) return -1;         \
    return real(folder, path, flags, mode);                                                      \
  }
MOE_OPEN(open)
MOE_OPEN(open64)
MOE_OPENAT(openat)
MOE_OPENAT(openat64)

}  // extern "C"
