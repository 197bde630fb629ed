#include <nccl.h>

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "comm/nccl.h"
#include "core/base/integer.h"
#include "cuda/device/queue.h"

#define NCCL_CHECK(call) ::moe::cuda::check_nccl((call), #call)

namespace moe::cuda {

static void check_nccl(ncclResult_t status, const char* call) {
  if (status == ncclSuccess) return;
  raise<DeviceError>("NCCL: {} failed: {}; {}", call, ncclGetErrorString(status), ncclGetLastError(nullptr));
}

static ncclDataType_t type_of(DType dtype) {
  static constexpr std::pair<DType, ncclDataType_t> kTypes[] = {
      {DType::f32, ncclFloat32}, {DType::f64, ncclFloat64}, {DType::bf16, ncclBfloat16}, {DType::i32, ncclInt32}};
  for (const auto& [own, theirs] : kTypes) {
    if (own == dtype) return theirs;
  }
  raise<InternalError>("NCCL does not support {} tensors", name_of(dtype));
}

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(std::shared_ptr<Communicator> host, std::shared_ptr<Queue> queue)
      : host_(std::move(host)), queue_(std::move(queue)) {
    ncclUniqueId id{};
    if (rank() == 0) NCCL_CHECK(ncclGetUniqueId(&id));
    std::array<int32_t, sizeof(ncclUniqueId) / sizeof(int32_t)> words{};
    std::memcpy(words.data(), &id, sizeof id);
    host_->broadcast(as_tensor(words), 0);
    std::memcpy(&id, words.data(), sizeof id);
    NCCL_CHECK(ncclCommInitRank(&handle_, size(), id, rank()));
  }
  ~NcclCommunicator() override {
    for (const cudaEvent_t event : complete_) cudaEventDestroy(event);
    if (begun_) cudaEventDestroy(begun_);
    if (side_) cudaStreamDestroy(side_);
    if (handle_) ncclCommDestroy(handle_);
  }
  NcclCommunicator(const NcclCommunicator&) = delete;

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  int host_of(int rank) const override { return host_->host_of(rank); }

  void all_reduce_sum(Tensor x) override {
    if (x.device == Device::cpu) return host_->all_reduce_sum(x);
    reduce(x, ncclSum);
  }
  void all_reduce_max(Tensor x) override {
    if (x.device == Device::cpu) return host_->all_reduce_max(x);
    reduce(x, ncclMax);
  }
  void broadcast(Tensor x, int root) override {
    if (x.device == Device::cpu) return host_->broadcast(x, root);
    NCCL_CHECK(ncclBroadcast(x.data, x.data, static_cast<size_t>(x.size()), type_of(x.dtype), root, handle_,
                             queue_->stream()));
  }
  void all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                  std::span<const int64_t> send_rows) override {
    if (recv.device == Device::cpu) return host_->all_to_all(recv, recv_rows, send, send_rows);
    exchange(recv, recv_rows, send, send_rows, queue_->stream());
  }

  // On a second stream, which the queue's stream waits for. All ranks start them in the same order.
  bool can_send_bf16() const override { return false; }
  Pending start_reduce_scatter_sum(Tensor x, std::span<const int64_t> parts, DType wire) override {
    if (x.device == Device::cpu) return host_->start_reduce_scatter_sum(x, parts, wire);
    return of_parts(x, parts, [&](const Tensor& part, int root, cudaStream_t stream) {
      NCCL_CHECK(ncclReduce(part.data, part.data, static_cast<size_t>(part.size()), type_of(part.dtype), ncclSum, root,
                            handle_, stream));
    });
  }
  Pending start_all_gather(Tensor x, std::span<const int64_t> parts, DType wire) override {
    if (x.device == Device::cpu) return host_->start_all_gather(x, parts, wire);
    return of_parts(x, parts, [&](const Tensor& part, int root, cudaStream_t stream) {
      NCCL_CHECK(ncclBroadcast(part.data, part.data, static_cast<size_t>(part.size()), type_of(part.dtype), root,
                               handle_, stream));
    });
  }
  Pending start_all_reduce_sum(Tensor x, std::span<const int64_t> parts, DType wire) override {
    if (x.device == Device::cpu) return host_->start_all_reduce_sum(x, parts, wire);
    return on_side([&](cudaStream_t stream) {
      NCCL_CHECK(
          ncclAllReduce(x.data, x.data, static_cast<size_t>(x.size()), type_of(x.dtype), ncclSum, handle_, stream));
    });
  }
  Pending start_all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                           std::span<const int64_t> send_rows) override {
    if (recv.device == Device::cpu) return host_->start_all_to_all(recv, recv_rows, send, send_rows);
    return on_side([&](cudaStream_t stream) { exchange(recv, recv_rows, send, send_rows, stream); });
  }

  // Synchronises hosts only. A caller that needs the device's work to be complete synchronises its queue.
  void barrier() override { host_->barrier(); }
  std::unique_ptr<Communicator> split(int colour) override {
    return std::make_unique<NcclCommunicator>(host_->split(colour), queue_);
  }

 private:
  void reduce(Tensor x, ncclRedOp_t operation) {
    NCCL_CHECK(ncclAllReduce(x.data, x.data, static_cast<size_t>(x.size()), type_of(x.dtype), operation, handle_,
                             queue_->stream()));
  }

  void exchange(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send, std::span<const int64_t> send_rows,
                cudaStream_t stream) {
    const int64_t width = recv.shape.rank() == 1 ? 1 : recv.dim(1);
    const auto element = static_cast<int64_t>(size_of(recv.dtype));
    const ncclDataType_t type = type_of(recv.dtype);
    auto* into = static_cast<char*>(recv.data);
    const auto* from = static_cast<const char*>(send.data);
    NCCL_CHECK(ncclGroupStart());
    for (int peer = 0; peer < size(); ++peer) {
      const int64_t in = recv_rows[as_index(peer)] * width, out = send_rows[as_index(peer)] * width;
      if (out > 0) NCCL_CHECK(ncclSend(from, static_cast<size_t>(out), type, peer, handle_, stream));
      if (in > 0) NCCL_CHECK(ncclRecv(into, static_cast<size_t>(in), type, peer, handle_, stream));
      into += in * element;
      from += out * element;
    }
    NCCL_CHECK(ncclGroupEnd());
  }

  // Runs `work` on the second stream after everything that the queue has been given.
  template <class Work>
  Pending on_side(Work work) {
    if (!side_) {
      CUDA_CHECK(cudaStreamCreateWithFlags(&side_, cudaStreamNonBlocking));
      CUDA_CHECK(cudaEventCreateWithFlags(&begun_, cudaEventDisableTiming));
    }
    CUDA_CHECK(cudaEventRecord(begun_, queue_->stream()));
    CUDA_CHECK(cudaStreamWaitEvent(side_, begun_, 0));
    work(side_);
    if (free_.empty()) {
      free_.push_back(std::ssize(complete_));
      CUDA_CHECK(cudaEventCreateWithFlags(&complete_.emplace_back(), cudaEventDisableTiming));
    }
    const int64_t ticket = free_.back();
    free_.pop_back();
    CUDA_CHECK(cudaEventRecord(complete_[as_index(ticket)], side_));
    return {*this, ticket};
  }
  template <class Each>
  Pending of_parts(Tensor x, std::span<const int64_t> parts, Each each) {
    return on_side([&](cudaStream_t stream) {
      int64_t begin = 0;
      NCCL_CHECK(ncclGroupStart());
      for (int root = 0; root < size(); ++root) {
        const int64_t count = parts[as_index(root)];
        if (count > 0) each(x.slice(begin, count), root, stream);
        begin += count;
      }
      NCCL_CHECK(ncclGroupEnd());
    });
  }
  std::optional<TransferTime> finish(int64_t ticket) override {
    CUDA_CHECK(cudaStreamWaitEvent(queue_->stream(), complete_[as_index(ticket)], 0));
    free_.push_back(ticket);
    return std::nullopt;  // the host does not wait for it
  }

  std::shared_ptr<Communicator> host_;
  std::shared_ptr<Queue> queue_;
  cudaStream_t side_ = nullptr;
  cudaEvent_t begun_ = nullptr;
  std::vector<cudaEvent_t> complete_;  // of what was started, by ticket
  std::vector<int64_t> free_;          // tickets
  ncclComm_t handle_ = nullptr;
};

bool nccl_built() {
  return true;
}

bool ranks_share_a_gpu(Communicator& host, int device) {
  cudaDeviceProp properties{};
  CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  constexpr size_t kWords = sizeof(properties.uuid) / sizeof(int32_t);
  std::vector<int32_t> all(kWords * static_cast<size_t>(host.size()));
  std::memcpy(all.data() + kWords * static_cast<size_t>(host.rank()), &properties.uuid, sizeof properties.uuid);
  host.all_reduce_sum(as_tensor(all));
  for (size_t a = 0; a < all.size(); a += kWords) {
    for (size_t b = a + kWords; b < all.size(); b += kWords) {
      if (std::memcmp(&all[a], &all[b], sizeof properties.uuid) == 0) return true;
    }
  }
  return false;
}

std::unique_ptr<Communicator> make_nccl_communicator(std::shared_ptr<Communicator> host, std::shared_ptr<Queue> queue,
                                                     int device) {
  if (ranks_share_a_gpu(*host, device)) {
    throw DeviceError(
        "parallel.communication: nccl needs a GPU for every rank, but some ranks share one; start fewer ranks per "
        "host, or set parallel.communication: mpi, which lets ranks share a GPU");
  }
  return std::make_unique<NcclCommunicator>(std::move(host), std::move(queue));
}

}  // namespace moe::cuda
