// The programs that a study starts, one after the other, and the signals that end it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace moe {

// Where the other programs are: the folder that MOE_PROGRAMS names, or else that of this program. Throws UsageError for
// a program that is not there.
std::string program_path(const std::string& name);

// mpirun with its options for so many ranks of this machine, or nothing for one rank.
std::vector<std::string> rank_launcher(int64_t ranks);

// While it exists, SIGINT, SIGTERM and SIGHUP end the study: the first one is kept, and the program that runs gets
// SIGUSR1, with which moe-train ends after a step and a checkpoint. mpirun forwards that signal without killing its
// ranks. One at a time.
class StudySignals {
 public:
  StudySignals();
  ~StudySignals();
  StudySignals(const StudySignals&) = delete;

  // The signal that was received, or 0.
  static int received();
};

struct ChildOutput {
  std::string out, err;  // files that are replaced; empty: this program's own
};

// Runs a program to its end and returns its exit code, or 128 + the signal that ended it; 127 if it cannot be started.
// The program is in a session of its own, so that a Ctrl-C does not reach it a second time, and gets SIGUSR1 when this
// program is killed. It is not started after a signal to this program: then the code is 128 + that signal.
int run_program(const std::vector<std::string>& arguments, const ChildOutput& output = {});

// Sleeps, but not after a signal.
void wait_seconds(double seconds);

// Prints a line on standard error, as the scripts do.
void say(const std::string& line);

}  // namespace moe
