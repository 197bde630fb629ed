#include "comm/profiled_communicator.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "comm/process_groups.h"
#include "core/base/integer.h"

namespace moe {

std::shared_ptr<Communicator> profiled(std::shared_ptr<Communicator> ranks, std::shared_ptr<TrafficRecorder> recorder) {
  if (!recorder || ranks->size() == 1) return ranks;
  return std::make_shared<ProfiledCommunicator>(std::move(ranks), std::move(recorder));
}

ProfiledCommunicator::ProfiledCommunicator(std::shared_ptr<Communicator> ranks,
                                           std::shared_ptr<TrafficRecorder> recorder)
    : ranks_(std::move(ranks)), recorder_(std::move(recorder)) {}

void ProfiledCommunicator::add(TrafficCounts& counts, int peer, int64_t bytes) const {
  if (peer == rank() || bytes == 0) return;
  const bool inside = host_of(peer) == host_of(rank());
  (inside ? counts.bytes_inside : counts.bytes_between) += bytes;
  ++(inside ? counts.messages_inside : counts.messages_between);
}

TrafficCounts ProfiledCommunicator::of_rows(ConstTensor send, std::span<const int64_t> rows) const {
  TrafficCounts counts;
  const int64_t width = send.size() / std::max<int64_t>(send.dim(0), 1) * static_cast<int64_t>(size_of(send.dtype));
  for (int peer = 0; peer < size(); ++peer) add(counts, peer, rows[as_index(peer)] * width);
  return counts;
}

TrafficCounts ProfiledCommunicator::of_parts(const Tensor& x, std::span<const int64_t> parts, DType wire, bool reduces,
                                             bool gathers) const {
  TrafficCounts counts;
  const auto element =
      static_cast<int64_t>(x.dtype == DType::f32 && wire == DType::bf16 ? size_of(wire) : size_of(x.dtype));
  for (int peer = 0; peer < size(); ++peer) {
    if (reduces) add(counts, peer, parts[as_index(peer)] * element);
    if (gathers) add(counts, peer, parts[as_index(rank())] * element);
  }
  return counts;
}

TrafficCounts ProfiledCommunicator::of_sum(const Tensor& x) const {
  return of_parts(x, equal_parts(x.size(), size()), x.dtype, true, true);
}

template <class Count, class Work>
void ProfiledCommunicator::blocking(Device device, Count count, Work work) {
  if (!recorder_->is_on()) return work();
  TrafficEvent event{.label = recorder_->label, .counts = count(), .ranks = ranks_, .begin = recorder_->now()};
  work();
  event.is_timed = device == Device::cpu;
  event.end = event.is_timed ? recorder_->now() : event.begin;
  recorder_->add(event);
}

void ProfiledCommunicator::all_reduce_sum(Tensor x) {
  blocking(
      x.device, [&] { return of_sum(x); }, [&] { ranks_->all_reduce_sum(x); });
}

void ProfiledCommunicator::all_reduce_max(Tensor x) {
  blocking(
      x.device, [&] { return of_sum(x); }, [&] { ranks_->all_reduce_max(x); });
}

void ProfiledCommunicator::broadcast(Tensor x, int root) {
  blocking(
      x.device,
      [&] {
        TrafficCounts counts;
        for (int peer = 0; rank() == root && peer < size(); ++peer) add(counts, peer, static_cast<int64_t>(x.bytes()));
        return counts;
      },
      [&] { ranks_->broadcast(x, root); });
}

void ProfiledCommunicator::all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                                      std::span<const int64_t> send_rows) {
  blocking(
      send.device, [&] { return of_rows(send, send_rows); },
      [&] { ranks_->all_to_all(recv, recv_rows, send, send_rows); });
}

void ProfiledCommunicator::barrier() {
  blocking(
      Device::cpu, [] { return TrafficCounts{}; }, [&] { ranks_->barrier(); });
}

template <class Count, class Start>
Pending ProfiledCommunicator::starting(Device device, Count count, Start start) {
  if (!recorder_->is_on()) return start();
  auto free = std::find_if(started_.begin(), started_.end(), [](const Started& s) { return !s.used; });
  if (free == started_.end()) free = started_.emplace(started_.end());
  free->used = true;
  free->event = {.label = recorder_->label, .counts = count(), .ranks = ranks_};
  free->event.is_timed = device == Device::cpu;
  free->start_begin = recorder_->now();
  free->pending = start();
  free->start_end = recorder_->now();
  return {*this, free - started_.begin()};
}

// The seconds that two intervals have in common.
static double common(double begin, double end, double other_begin, double other_end) {
  return std::max(std::min(end, other_end) - std::max(begin, other_begin), 0.0);
}

std::optional<TransferTime> ProfiledCommunicator::finish(int64_t ticket) {
  const double wait_begin = recorder_->now();
  // wait() may throw; started_ may not be changed meanwhile, as Pending's destructor would.
  Pending pending = std::move(started_[as_index(ticket)].pending);
  const std::optional<TransferTime> time = pending.wait();
  Started& started = started_[as_index(ticket)];
  started.used = false;
  TrafficEvent event = started.event;
  event.begin = started.start_begin;
  event.end = event.is_timed ? started.start_end : event.begin;
  if (time && event.is_timed) {
    event.blocks = false;
    event.begin = recorder_->since_start(time->begin);
    event.end = recorder_->since_start(time->end);
    event.hidden = event.end - event.begin - common(event.begin, event.end, started.start_begin, started.start_end) -
                   common(event.begin, event.end, wait_begin, recorder_->now());
  }
  if (recorder_->is_on()) recorder_->add(event);
  return time;
}

Pending ProfiledCommunicator::start_reduce_scatter_sum(Tensor x, std::span<const int64_t> parts, DType wire) {
  return starting(
      x.device, [&] { return of_parts(x, parts, wire, true, false); },
      [&] { return ranks_->start_reduce_scatter_sum(x, parts, wire); });
}

Pending ProfiledCommunicator::start_all_gather(Tensor x, std::span<const int64_t> parts, DType wire) {
  return starting(
      x.device, [&] { return of_parts(x, parts, wire, false, true); },
      [&] { return ranks_->start_all_gather(x, parts, wire); });
}

Pending ProfiledCommunicator::start_all_reduce_sum(Tensor x, std::span<const int64_t> parts, DType wire) {
  return starting(
      x.device, [&] { return of_parts(x, parts, wire, true, true); },
      [&] { return ranks_->start_all_reduce_sum(x, parts, wire); });
}

Pending ProfiledCommunicator::start_all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                                               std::span<const int64_t> send_rows) {
  return starting(
      send.device, [&] { return of_rows(send, send_rows); },
      [&] { return ranks_->start_all_to_all(recv, recv_rows, send, send_rows); });
}

std::unique_ptr<Communicator> ProfiledCommunicator::split(int colour) {
  std::unique_ptr<Communicator> part = ranks_->split(colour);
  if (part->size() == 1) return part;
  return std::make_unique<ProfiledCommunicator>(std::move(part), recorder_);
}

}  // namespace moe
