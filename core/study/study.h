// Trains the runs of a study: each is a program of its own, so that one that fails does not end the others, and several
// processes, perhaps on several machines, may work on one study in a shared folder. The unit that a process claims is a
// seed with all its configurations, because only runs of one machine are compared with each other.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/study/claim.h"

namespace moe {

struct StudyRun {
  std::string name;                    // within the study: "top2-seed1", "costs/2/top2-seed1"
  std::string folder;                  // of the run
  std::vector<std::string> arguments;  // of moe-train
};

struct StudyUnit {
  std::string name;  // a file name: "seed1"
  std::vector<StudyRun> runs;
};

struct Study {
  std::string folder;
  int64_t ranks = 1;
  bool waits = true;  // until the units that other processes have claimed are done
  std::vector<StudyUnit> units;

  size_t total() const;  // runs
};

struct StudyOutcome {
  // The exit code of each run, made by any process, by its name.
  std::map<std::string, int> codes;
  std::string interrupted;  // the run that a signal ended, and the exit code that follows
  int interrupted_code = 0;
  std::vector<std::string> left;  // units that other processes were training when this one ended

  std::vector<std::string> failed(const Study& study) const;  // "name (exit code 7)", in the order of the study
};

// The folder of a study's claims and of its records of finished units.
std::string queue_folder(const std::string& study);

// Waits until no other process has the claim; nothing after a signal. Throws CheckpointError.
std::unique_ptr<Claim> wait_for_claim(const std::string& study, const std::string& name);

// Trains what is not done. A process that starts while no other works on the study goes over all runs again, so that
// those that failed get another chance; moe-train skips those that are finished. Otherwise what the others have done is
// done.
StudyOutcome train_study(const Study& study);

}  // namespace moe
