#include "comm/mpi_transfers.h"

#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "comm/mpi_types.h"
#include "comm/traffic.h"
#include "core/base/background_thread.h"
#include "core/base/integer.h"
#include "core/tensor/bfloat16.h"

namespace moe {
namespace {

// While nothing waits for a transfer, the thread tests its messages this often. Each test takes time from the
// program, and more if messages arrive in smaller pieces; in between, the system's buffers hold what arrives.
constexpr std::chrono::microseconds kPause{500};
// Room for so many communications at once; more would allocate memory.
constexpr size_t kMostStarted = 4096;

char* at(Tensor x, int64_t element) {
  return static_cast<char*>(x.data) + element * static_cast<int64_t>(size_of(x.dtype));
}

void round(char* to, ConstTensor from) {
  const float* const values = from.as<float>();
  auto* const rounded = reinterpret_cast<BFloat16*>(to);
  for (int64_t i = 0; i < from.size(); ++i) rounded[i] = to_bfloat16(values[i]);
}

void widen(Tensor to, const char* from) {
  float* const values = to.as<float>();
  const auto* const rounded = reinterpret_cast<const BFloat16*>(from);
  for (int64_t i = 0; i < to.size(); ++i) values[i] = to_float(rounded[i]);
}

// mine (n) = the sum of the ranks' terms in the order of the ranks; terms[r] (n) for every other rank r.
template <class T, class Term>
void add_in_order(T* mine, int64_t n, int rank, int size, Term term) {
  constexpr int64_t kRun = 1024;
  T sums[kRun];
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t count = std::min(kRun, n - begin);
    for (int peer = 0; peer < size; ++peer) {
      for (int64_t i = 0; i < count; ++i) {
        const T x = peer == rank ? mine[begin + i] : term(peer, begin + i);
        sums[i] = peer == 0 ? x : sums[i] + x;
      }
    }
    std::copy_n(sums, count, mine + begin);
  }
}

}  // namespace

MpiTransfers::MpiTransfers(bool threaded) : threaded_(threaded) {
  started_.reserve(kMostStarted);
}

size_t MpiTransfers::Transfer::bytes_in() const {
  const size_t element = rounds() ? sizeof(BFloat16) : size_of(x.dtype);
  const size_t terms = static_cast<size_t>(part(ranks.rank)) * static_cast<size_t>(ranks.size) * element;
  return std::max(terms, rounds() ? static_cast<size_t>(x.size()) * element : 0);
}

MpiTransfers::~MpiTransfers() {
  give_up();
  if (thread_.joinable()) thread_.join();
}

void MpiTransfers::give_up() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
}

MpiTransfers::Transfer& MpiTransfers::claim(const Ranks& ranks, int64_t& ticket) {
  const auto free = std::find_if(transfers_.begin(), transfers_.end(),
                                 [](const Transfer& t) { return t.state == Transfer::State::free; });
  ticket = free - transfers_.begin();
  Transfer& t = free == transfers_.end() ? transfers_.emplace_back() : *free;
  t.ranks = ranks;
  // Two tags for each communication, below what every MPI allows.
  t.tag = static_cast<int>((*ranks.next_tag)++ % 16'000) * 2;
  t.is_sum = false;
  t.wire = DType::f32;
  t.requests.clear();
  t.mail = nullptr;
  t.error = nullptr;
  return t;
}

void MpiTransfers::launch(Transfer& transfer) {
  transfer.state = Transfer::State::running;
  if (!threaded_) {
    transfer.time.begin = steady_seconds();
    take_mailbox(transfer);
    while (!advance(transfer)) {
      MPI_CHECK(MPI_Waitall(static_cast<int>(transfer.requests.size()), transfer.requests.data(), MPI_STATUSES_IGNORE));
    }
    if (transfer.mail) release(transfer);
    transfer.time.end = steady_seconds();
    transfer.state = Transfer::State::done;
    return;
  }
  if (!thread_.joinable()) {
    std::fegetenv(&floating_point_);
    thread_ = background_thread([this] { run(); });
  }
  started_.push_back(&transfer);
  changed_.notify_all();
}

int64_t MpiTransfers::start_sums(const Ranks& ranks, Sums sums, Tensor x, std::span<const int64_t> parts, DType wire) {
  MOE_CHECK(x.device == Device::cpu, "MPI communication needs host tensors");
  MOE_CHECK(std::ssize(parts) == ranks.size, "{} parts for {} ranks", parts.size(), ranks.size);
  MOE_CHECK(sums == Sums::all_gather || x.dtype == DType::f32 || x.dtype == DType::f64, "no sums of {} tensors",
            name_of(x.dtype));
  static constexpr Step kAllReduce[] = {post_reduce_scatter, add_parts, post_all_gather, widen_parts};
  const std::scoped_lock lock(mutex_);
  int64_t ticket = 0;
  Transfer& t = claim(ranks, ticket);
  t.x = x;
  t.wire = x.dtype == DType::f32 ? wire : DType::f32;
  t.begins.assign(1, 0);
  for (const int64_t part : parts) t.begins.push_back(t.begins.back() + part);
  MOE_CHECK(t.begins.back() == x.size(), "parts of {} elements of {}", t.begins.back(), x.size());
  t.is_sum = true;
  t.steps = sums == Sums::reduce_scatter ? std::span(kAllReduce).first(2)
            : sums == Sums::all_gather   ? std::span(kAllReduce).last(2)
                                         : std::span(kAllReduce);
  most_in_ = std::max(most_in_, t.bytes_in());
  most_out_ = std::max(most_out_, t.bytes_out());
  for (Mailbox& mailbox : mailboxes_) {
    if (!mailbox.used) enlarge(mailbox);
  }
  launch(t);
  return ticket;
}

int64_t MpiTransfers::start_exchange(const Ranks& ranks, Tensor recv, std::span<const int64_t> recv_rows,
                                     ConstTensor send, std::span<const int64_t> send_rows) {
  MOE_CHECK(recv.device == Device::cpu, "MPI communication needs host tensors");
  const std::scoped_lock lock(mutex_);
  int64_t ticket = 0;
  Transfer& t = claim(ranks, ticket);
  t.x = recv;
  t.send = send;
  t.recv_rows.assign(recv_rows.begin(), recv_rows.end());
  t.send_rows.assign(send_rows.begin(), send_rows.end());
  static constexpr Step kExchange[] = {post_exchange};
  t.steps = kExchange;
  launch(t);
  return ticket;
}

TransferTime MpiTransfers::wait(int64_t ticket) {
  std::unique_lock lock(mutex_);
  Transfer& t = transfers_[as_index(ticket)];
  ++waiting_;
  changed_.wait(lock, [&] { return t.state == Transfer::State::done || stop_; });
  --waiting_;
  if (t.state != Transfer::State::done) throw DeviceError("a communication was given up");
  t.state = Transfer::State::free;
  if (t.error) std::rethrow_exception(t.error);
  return t.time;
}

void MpiTransfers::run() {
  std::fesetenv(&floating_point_);  // denormal numbers are handled as everywhere
  prctl(PR_SET_TIMERSLACK, 1000UL);
  std::vector<Transfer*> running, complete;
  running.reserve(kMostStarted);
  complete.reserve(kMostStarted);
  std::unique_lock lock(mutex_);
  while (!stop_) {
    begin_started(running);
    if (running.empty()) {
      changed_.wait(lock, [&] { return stop_ || !started_.empty(); });
      continue;
    }
    const bool hurry = waiting_ > 0;
    lock.unlock();
    complete.clear();
    for (Transfer* const t : running) {
      try {
        if (advance(*t)) complete.push_back(t);
      } catch (...) {
        t->error = std::current_exception();
        complete.push_back(t);
      }
    }
    if (complete.empty()) {
      if (hurry) {
        sched_yield();
      } else {
        std::this_thread::sleep_for(kPause);
      }
    }
    lock.lock();
    for (Transfer* const t : complete) {
      if (t->mail) release(*t);
      t->time.end = steady_seconds();
      t->state = Transfer::State::done;
      std::erase(running, t);
    }
    if (!complete.empty()) changed_.notify_all();
  }
}

bool MpiTransfers::take_mailbox(Transfer& t) {
  if (!t.is_sum) return true;
  const auto free = std::find_if(mailboxes_.begin(), mailboxes_.end(), [](const Mailbox& m) { return !m.used; });
  if (free == mailboxes_.end()) return false;
  free->used = true;
  t.mail = &*free;
  return true;
}

void MpiTransfers::enlarge(Mailbox& mailbox) const {
  if (mailbox.in.size() < most_in_) mailbox.in.resize(most_in_);
  if (mailbox.out.size() < most_out_) mailbox.out.resize(most_out_);
}

void MpiTransfers::release(Transfer& t) {
  t.mail->used = false;
  enlarge(*t.mail);
}

void MpiTransfers::begin_started(std::vector<Transfer*>& running) {
  bool sums_wait = false;
  std::erase_if(started_, [&](Transfer* t) {
    if (t->is_sum && (sums_wait || !take_mailbox(*t))) {
      sums_wait = true;
      return false;
    }
    t->time.begin = steady_seconds();
    running.push_back(t);
    return true;
  });
}

bool MpiTransfers::advance(Transfer& t) {
  for (;;) {
    int arrived = 1;
    if (!t.requests.empty()) {
      MPI_CHECK(MPI_Testall(static_cast<int>(t.requests.size()), t.requests.data(), &arrived, MPI_STATUSES_IGNORE));
    }
    if (!arrived) return false;
    t.requests.clear();
    if (t.steps.empty()) return true;
    const Step step = t.steps.front();
    t.steps = t.steps.subspan(1);
    step(t);
  }
}

void MpiTransfers::post_exchange(Transfer& t) {
  moe::post_exchange(t.requests, t.x, t.recv_rows, t.send, t.send_rows, t.tag, t.ranks);
}

void MpiTransfers::post_reduce_scatter(Transfer& t) {
  const DType sent = t.rounds() ? DType::bf16 : t.x.dtype;
  const auto element = static_cast<int64_t>(size_of(sent));
  const int64_t own = t.part(t.ranks.rank);
  // The other ranks' terms of this rank's part, by rank, with room for its own.
  for (int peer = 0; peer < t.ranks.size; ++peer) {
    if (peer == t.ranks.rank) continue;
    post_receive(t.requests, t.mail->in.data() + own * peer * element, own, sent, peer, t.tag, t.ranks.handle);
  }
  if (t.rounds()) {
    round(t.mail->out.data(), t.x);
  }
  for (int peer = 0; peer < t.ranks.size; ++peer) {
    if (peer == t.ranks.rank) continue;
    const int64_t begin = t.begins[as_index(peer)];
    post_send(t.requests, t.rounds() ? t.mail->out.data() + begin * element : at(t.x, begin), t.part(peer), sent, peer,
              t.tag, t.ranks.handle);
  }
}

void MpiTransfers::add_parts(Transfer& t) {
  const int rank = t.ranks.rank, size = t.ranks.size;
  const int64_t own = t.part(rank);
  const Tensor mine = t.x.slice(t.begins[as_index(rank)], own);
  const auto add = [&]<class T>(T*) {
    const T* const terms = reinterpret_cast<const T*>(t.mail->in.data());
    add_in_order(mine.as<T>(), own, rank, size, [&](int peer, int64_t i) { return terms[own * peer + i]; });
  };
  if (t.x.dtype == DType::f64) return add(static_cast<double*>(nullptr));
  if (!t.rounds()) return add(static_cast<float*>(nullptr));
  const auto* const terms = reinterpret_cast<const BFloat16*>(t.mail->in.data());
  auto* const rounded = reinterpret_cast<char*>(t.mail->out.data());
  widen(mine, rounded + t.begins[as_index(rank)] * static_cast<int64_t>(sizeof(BFloat16)));  // its own terms too
  add_in_order(mine.as<float>(), own, rank, size, [&](int peer, int64_t i) { return to_float(terms[own * peer + i]); });
  round(rounded, mine);
  widen(mine, rounded);
}

void MpiTransfers::post_all_gather(Transfer& t) {
  const DType sent = t.rounds() ? DType::bf16 : t.x.dtype;
  const auto element = static_cast<int64_t>(size_of(sent));
  const int rank = t.ranks.rank;
  const Tensor mine = t.x.slice(t.begins[as_index(rank)], t.part(rank));
  if (t.rounds()) {
    round(t.mail->out.data(), mine);
  }
  for (int peer = 0; peer < t.ranks.size; ++peer) {
    if (peer == rank) continue;
    const int64_t begin = t.begins[as_index(peer)];
    post_receive(t.requests, t.rounds() ? t.mail->in.data() + begin * element : at(t.x, begin), t.part(peer), sent,
                 peer, t.tag + 1, t.ranks.handle);
  }
  for (int peer = 0; peer < t.ranks.size; ++peer) {
    if (peer == rank) continue;
    post_send(t.requests, t.rounds() ? t.mail->out.data() : mine.data, mine.size(), sent, peer, t.tag + 1,
              t.ranks.handle);
  }
}

void MpiTransfers::widen_parts(Transfer& t) {
  if (!t.rounds()) return;
  for (int peer = 0; peer < t.ranks.size; ++peer) {
    if (peer == t.ranks.rank) continue;
    const int64_t begin = t.begins[as_index(peer)];
    widen(t.x.slice(begin, t.part(peer)), t.mail->in.data() + begin * static_cast<int64_t>(sizeof(BFloat16)));
  }
}

}  // namespace moe
