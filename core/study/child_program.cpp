#include "core/study/child_program.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <system_error>

#include "core/base/check.h"
#include "core/base/text.h"
#include "core/machine/cpu_facts.h"

namespace moe {

namespace fs = std::filesystem;

// A signal handler can only access globals.
static volatile std::sig_atomic_t g_received = 0;
static volatile std::sig_atomic_t g_child = 0;

static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

static void on_signal(int signal) {
  if (g_received == 0) g_received = signal;
  if (g_child != 0) ::kill(g_child, SIGUSR1);
}

StudySignals::StudySignals() {
  g_received = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (const int signal : kSignals) sigaction(signal, &action, nullptr);
}

StudySignals::~StudySignals() {
  for (const int signal : kSignals) std::signal(signal, SIG_DFL);
}

int StudySignals::received() {
  return g_received;
}

std::string program_path(const std::string& name) {
  const char* folder = std::getenv("MOE_PROGRAMS");
  std::error_code error;
  const fs::path own = fs::read_symlink("/proc/self/exe", error).parent_path();
  const std::string path = (folder && *folder ? fs::path(folder) : own) / name;
  if (::access(path.c_str(), X_OK) != 0) raise<UsageError>("{} is not built: scripts/build", path);
  return path;
}

std::vector<std::string> rank_launcher(int64_t ranks) {
  if (ranks == 1) return {};
  const CpuFacts facts = read_cpu_facts(SystemFiles());
  double slots = std::max(1.0, static_cast<double>(facts.cores.size()));
  if (facts.quota) slots = std::clamp(std::floor(*facts.quota), 1.0, slots);
  std::vector<std::string> words{"mpirun", "-n", std::to_string(ranks)};
  if (slots < static_cast<double>(ranks)) words.insert(words.end(), {"--map-by", ":OVERSUBSCRIBE"});
  return words;
}

// Replaces this process, which was just forked, by the program. Only functions that a signal handler may call.
[[noreturn]] static void become(char* const* arguments, pid_t parent, const ChildOutput& output, const sigset_t& mask) {
  const auto redirect = [](const char* file, int flags, int descriptor) {
    const int opened = ::open(file, flags, 0644);
    if (opened < 0 || ::dup2(opened, descriptor) < 0) ::_exit(127);
  };
  for (const int signal : kSignals) ::signal(signal, SIG_DFL);
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGUSR1);
  if (::getppid() != parent) ::_exit(128 + SIGUSR1);  // it was killed before the line above
  redirect("/dev/null", O_RDONLY, STDIN_FILENO);
  constexpr int kReplace = O_WRONLY | O_CREAT | O_TRUNC;
  if (!output.out.empty()) redirect(output.out.c_str(), kReplace, STDOUT_FILENO);
  if (!output.err.empty()) redirect(output.err.c_str(), kReplace, STDERR_FILENO);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::execvp(arguments[0], arguments);
  ::_exit(127);
}

int run_program(const std::vector<std::string>& arguments, const ChildOutput& output) {
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  // No signal may arrive between the fork and the moment when the handler can forward it.
  sigset_t signals, before;
  sigemptyset(&signals);
  for (const int signal : kSignals) sigaddset(&signals, signal);
  std::fflush(nullptr);
  pthread_sigmask(SIG_BLOCK, &signals, &before);
  const pid_t parent = ::getpid();
  const pid_t child = g_received == 0 ? ::fork() : 0;
  if (child == 0 && g_received == 0) become(pointers.data(), parent, output, before);
  g_child = child > 0 ? child : 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (child == 0) return 128 + g_received;
  if (child < 0) raise<DeviceError>("cannot start {}: {}", arguments[0], std::strerror(errno));

  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  g_child = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void wait_seconds(double seconds) {
  if (g_received != 0) return;
  timespec time{static_cast<time_t>(seconds), 0};
  time.tv_nsec = static_cast<long>((seconds - std::floor(seconds)) * 1e9);
  ::nanosleep(&time, nullptr);
}

void say(const std::string& line) {
  fmt::print(stderr, "{}\n", shown(line));
  std::fflush(stderr);
}

}  // namespace moe
