// Communications by MPI that go on while the program computes. MPI itself only moves messages while it is called, so a
// thread calls it.
#pragma once
#include <mpi.h>

#include <array>
#include <atomic>
#include <cfenv>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "comm/communicator.h"
#include "comm/mpi_messages.h"
#include "core/base/integer.h"

namespace moe {

class MpiTransfers {
 public:
  // With `threaded`, which needs MPI_THREAD_MULTIPLE, a thread carries out what is started. Otherwise a communication
  // is complete when start() returns.
  explicit MpiTransfers(bool threaded);
  ~MpiTransfers();
  MpiTransfers(const MpiTransfers&) = delete;

  // The ranks of a communication; `handle` belongs to these alone.
  struct Ranks : MpiPeers {
    int64_t* next_tag;  // all ranks start the same communications, so they count alike
  };
  enum class Sums { reduce_scatter, all_gather, all_reduce };

  // See Communicator. Each returns a ticket for wait().
  int64_t start_sums(const Ranks& ranks, Sums sums, Tensor x, std::span<const int64_t> parts, DType wire);
  int64_t start_exchange(const Ranks& ranks, Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                         std::span<const int64_t> send_rows);
  TransferTime wait(int64_t ticket);
  // Nothing that was started goes on.
  void give_up();

 private:
  // Messages of a sum on their way. There are few, so that sums that wait for a slow link need no memory.
  struct Mailbox {
    std::vector<char> in, out;
    bool used = false;
  };
  struct Transfer;
  // A part of a communication: posts messages, or uses those that have arrived.
  using Step = void (*)(Transfer& transfer);
  // One communication. Its memory is kept for later ones.
  struct Transfer {
    enum class State { free, running, done } state = State::free;
    Ranks ranks{};
    int tag = 0;
    std::span<const Step> steps;  // those that are left; each begins when all messages before it have arrived
    bool is_sum = false;
    Tensor x{};
    DType wire = DType::f32;
    std::vector<int64_t> begins;  // of the parts, and the end
    ConstTensor send{};
    std::vector<int64_t> send_rows, recv_rows;  // per peer
    std::vector<MPI_Request> requests;
    Mailbox* mail = nullptr;  // of sums, while they are carried out
    TransferTime time{};
    std::exception_ptr error;

    // Bytes of messages that a sum keeps. Received: the terms of its own part from every rank, or rounded sums of all
    // parts.
    size_t bytes_in() const;
    size_t bytes_out() const { return rounds() ? static_cast<size_t>(x.size()) * sizeof(BFloat16) : 0; }
    int64_t part(int rank) const { return begins[as_index(rank) + 1] - begins[as_index(rank)]; }
    bool rounds() const { return wire == DType::bf16; }
  };

  Transfer& claim(const Ranks& ranks, int64_t& ticket);
  void launch(Transfer& transfer);
  void run();
  // Moves what may begin from started_ to `running`. Sums begin in the order in which they were started: all ranks have
  // the same order, so the first one can always go on.
  void begin_started(std::vector<Transfer*>& running);
  bool take_mailbox(Transfer& transfer);
  // Which mailbox a sum gets depends on time, so all are made as large as the largest sum needs: the first step
  // allocates all memory.
  void enlarge(Mailbox& mailbox) const;
  void release(Transfer& transfer);  // its mailbox
  // Carries a transfer on as far as it goes without waiting. Returns whether it is complete.
  static bool advance(Transfer& transfer);
  static void post_exchange(Transfer& t);
  static void post_reduce_scatter(Transfer& t);
  static void add_parts(Transfer& t);
  static void post_all_gather(Transfer& t);
  static void widen_parts(Transfer& t);

  const bool threaded_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Transfer> transfers_;  // by ticket; their places do not change
  std::vector<Transfer*> started_;  // not begun yet, in order
  std::array<Mailbox, as_index(Communicator::kSumsAtOnce)> mailboxes_;
  size_t most_in_ = 0, most_out_ = 0;  // bytes of the largest sum's messages
  int waiting_ = 0;
  std::atomic<bool> stop_ = false;
  std::fenv_t floating_point_{};  // of the thread that starts communications
  std::thread thread_;
};

}  // namespace moe
