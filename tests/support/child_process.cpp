#include "tests/support/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace moe {

using Clock = std::chrono::steady_clock;
static constexpr auto kPoll = std::chrono::milliseconds(5);

std::string read_file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::function<void()>& in_child) {
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  const std::string out = folder_ / "out", err = folder_ / "err";
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("cannot fork");
  if (pid_ > 0) return;

  setpgid(0, 0);
  dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
  dup2(open(out.c_str(), O_WRONLY | O_CREAT, 0644), STDOUT_FILENO);
  dup2(open(err.c_str(), O_WRONLY | O_CREAT, 0644), STDERR_FILENO);
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  setenv("OMP_NUM_THREADS", "1", 1);
  if (in_child) in_child();
  execv(pointers[0], pointers.data());
  _exit(127);
}

ChildProcess::~ChildProcess() {
  if (ended_) return;
  kill(-pid_, SIGKILL);
  waitpid(pid_, &status_, 0);
}

bool ChildProcess::has_ended() {
  if (!ended_) ended_ = waitpid(pid_, &status_, WNOHANG) == pid_;
  return ended_;
}

std::vector<pid_t> ChildProcess::children() const {
  std::vector<pid_t> result;
  const std::string parent = "\nPPid:\t" + std::to_string(pid_) + "\n";
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (read_file(entry.path().string() + "/status").find(parent) != std::string::npos)
      result.push_back(std::stoi(name));
  }
  return result;
}

void ChildProcess::signal(int number) const {
  kill(pid_, number);
}

bool ChildProcess::wait_for(const std::string& text) {
  const auto end = Clock::now() + std::chrono::seconds(kHangSeconds);
  while (read_file(folder_ / "err").find(text) == std::string::npos) {
    if (has_ended() || Clock::now() > end) return read_file(folder_ / "err").find(text) != std::string::npos;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

Finished ChildProcess::wait() {
  const auto end = Clock::now() + std::chrono::seconds(kHangSeconds);
  while (!has_ended()) {
    if (Clock::now() > end)
      throw std::runtime_error("the program does not end; its last output: " + read_file(folder_ / "err"));
    std::this_thread::sleep_for(kPoll);
  }
  return {WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_), read_file(folder_ / "out"),
          read_file(folder_ / "err")};
}

Finished run_child(const std::vector<std::string>& arguments, const std::function<void()>& in_child) {
  return ChildProcess(arguments, in_child).wait();
}

}  // namespace moe
