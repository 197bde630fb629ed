#include "tests/support/rank_threads.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace moe::test {
namespace {

// A thread that waits for jobs.
class Worker {
 public:
  Worker() : thread_([this] { loop(); }) {}
  ~Worker() {
    start(nullptr);
    thread_.join();
  }
  Worker(const Worker&) = delete;

  // An empty job ends the thread.
  void start(std::function<void()> job) {
    const std::scoped_lock lock(mutex_);
    job_ = std::move(job);
    has_job_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !has_job_; });
  }

 private:
  void loop() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return has_job_; });
      if (!job_) return;
      lock.unlock();
      job_();
      lock.lock();
      has_job_ = false;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> job_;
  bool has_job_ = false;
  std::thread thread_;  // the last member, because it uses the others
};

class Workers {
 public:
  std::unique_ptr<Worker> take() {
    {
      const std::scoped_lock lock(mutex_);
      if (!idle_.empty()) {
        std::unique_ptr<Worker> worker = std::move(idle_.back());
        idle_.pop_back();
        return worker;
      }
    }
    return std::make_unique<Worker>();
  }
  void put_back(std::unique_ptr<Worker> worker) {
    const std::scoped_lock lock(mutex_);
    idle_.push_back(std::move(worker));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Worker>> idle_;
};

}  // namespace

void run_on_threads(int count, const std::function<void(int)>& task) {
  static Workers workers;
  std::vector<std::unique_ptr<Worker>> taken;
  for (int i = 0; i < count; ++i) taken.push_back(workers.take());
  for (int i = 0; i < count; ++i) taken[static_cast<size_t>(i)]->start([&task, i] { task(i); });
  for (std::unique_ptr<Worker>& worker : taken) {
    worker->wait();
    workers.put_back(std::move(worker));
  }
}

}  // namespace moe::test
