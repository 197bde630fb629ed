// A claim of one process on one part of a study, in a folder that processes of several machines may share.
//
// Claims on NAME are the files NAME.claim.0, NAME.claim.1, ...; the one with the largest number counts. Each is made by
// link(), which only one process can do, over NFS too. An owner renews the time of its file. A claim that is not
// renewed for long enough is taken over by making the file with the next number, so of several that try only one
// succeeds. Where the owner is on the same machine the kernel's lock on its file says at once that it has ended.
#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace moe {

struct ClaimSettings {
  double renewed = 60;   // seconds between renewals
  double expires = 600;  // seconds without a renewal after which a claim may be taken over
  std::string machine;   // identifies the running kernel, whose locks decide

  // The above, or the two times that MOE_STUDY_CLAIM_SECONDS=RENEWED,EXPIRES sets for tests.
  static ClaimSettings of_this_machine();
};

class Claim {
 public:
  // The claim on `name`, or nothing if another process has it. The folder must exist. Throws CheckpointError when
  // files cannot be written.
  static std::unique_ptr<Claim> take(const std::string& folder, const std::string& name, const ClaimSettings& settings);
  // Removes the claim, and those that it took over.
  ~Claim();
  Claim(const Claim&) = delete;

  // Whether no other process has taken it over, as it may after this process was stopped for long.
  bool is_held() const;

 private:
  Claim(std::string folder, std::string name, int64_t number, int descriptor, double renewed);
  void renew(double seconds);

  std::string folder_, name_;
  int64_t number_;
  int descriptor_;
  bool replaces_others_ = false;  // claims with smaller numbers have expired
  std::mutex mutex_;
  std::condition_variable ending_;
  bool ends_ = false;
  std::thread renewer_;
};

// The owner of a claim that has not expired: "process 12 on host a since ...".
std::optional<std::string> claim_owner(const std::string& folder, const std::string& name,
                                       const ClaimSettings& settings);

}  // namespace moe
