#include "core/nearest/faiss_search.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/impl/FaissException.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/base/philox.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/state_file.h"
#include "data/content_hash.h"

namespace moe {

namespace {

constexpr const char* kIndex = "ivfpq.faiss";
constexpr const char* kDescription = "ivfpq.json";
constexpr const char* kFormat = "moe-train IVF-PQ 1";
constexpr int64_t kBlock = 1 << 16;       // keys that are in memory at a time
constexpr int64_t kQueriesAtOnce = 4096;  // queries that share a pass over the keys
constexpr int64_t kKeysPerList = 39;      // FAISS warns below so many keys of the sample for a list
constexpr int64_t kCodes = 256;           // of each byte

constexpr int64_t kQueriesOfThread = 256;  // queries of the compressed index that one thread takes

// One thread for as long as it lives: what BLAS sums depends on how many threads share a product.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;

 private:
  int before_;
};

// Merges candidates of blocks: the nearest by distance, then by number.
using Ranked = std::vector<std::pair<float, int64_t>>;

std::string path_in(const KeyStore& store, const char* name) {
  return store.folder() + "/" + name;
}

}  // namespace

FlatSearch::FlatSearch(const KeyStore& store, int64_t entries)
    : store_(store), entries_(entries > 0 ? std::min(entries, store.size()) : store.size()) {}

void FlatSearch::find(std::span<const float> queries, int64_t count, std::span<int64_t> ids) const {
  const int64_t width = store_.width(), all = std::ssize(queries) / width;
  std::vector<float> keys(as_index(std::min(kBlock, entries_) * width));
  for (int64_t first = 0; first < all; first += kQueriesAtOnce) {
    const int64_t rows = std::min(kQueriesAtOnce, all - first);
    std::vector<Ranked> nearest(as_index(rows));
    std::vector<float> distances;
    std::vector<int64_t> found;
    for (int64_t begin = 0; begin < entries_; begin += kBlock) {
      const int64_t block = std::min(kBlock, entries_ - begin), k = std::min(count, block);
      store_.read_keys(begin, block, keys);
      faiss::IndexFlatL2 index(static_cast<int>(width));
      index.add(block, keys.data());
      distances.resize(as_index(rows * k));
      found.resize(as_index(rows * k));
      index.search(rows, queries.data() + first * width, k, distances.data(), found.data());
#pragma omp parallel for schedule(static)
      for (int64_t row = 0; row < rows; ++row) {
        Ranked& own = nearest[as_index(row)];
        for (int64_t i = row * k; i < (row + 1) * k; ++i) {
          if (found[as_index(i)] >= 0) own.emplace_back(distances[as_index(i)], begin + found[as_index(i)]);
        }
        const auto kept = static_cast<std::ptrdiff_t>(std::min<int64_t>(count, std::ssize(own)));
        std::partial_sort(own.begin(), own.begin() + kept, own.end());
        own.resize(static_cast<size_t>(kept));
      }
    }
    for (int64_t row = 0; row < rows; ++row) {
      const Ranked& own = nearest[as_index(row)];
      for (int64_t i = 0; i < count; ++i)
        ids[as_index((first + row) * count + i)] = i < std::ssize(own) ? own[as_index(i)].second : -1;
    }
  }
}

// Bytes of a code: a divisor of the width, about a quarter of it.
static int64_t code_bytes(int64_t width, int64_t asked) {
  if (asked > 0) {
    if (width % asked != 0) raise<UsageError>("--bytes {}: keys of {} numbers need a divisor of it", asked, width);
    return asked;
  }
  int64_t best = 1;
  for (int64_t bytes = 1; bytes <= std::max<int64_t>(width / 4, 1); ++bytes)
    if (width % bytes == 0) best = bytes;
  return best;
}

// Entries for training, ascending: one of each of `sample` equal parts of the store, a function of the seed.
static std::vector<int64_t> sampled(int64_t entries, int64_t sample, uint64_t seed) {
  const RandomKey key{.seed = seed, .purpose = RandomPurpose::datastore};
  std::vector<int64_t> drawn(as_index(sample));
  for (int64_t i = 0; i < sample; ++i) {
    const int64_t begin = i * entries / sample, size = (i + 1) * entries / sample - begin;
    const double at = unit_of(key.words(static_cast<uint64_t>(i))[0]) * static_cast<double>(size);
    drawn[as_index(i)] = begin + static_cast<int64_t>(at);
  }
  return drawn;
}

namespace {

// Writes through a synced file.
struct SinkWriter : faiss::IOWriter {
  explicit SinkWriter(const FileSink& to) : sink(to) {}
  size_t operator()(const void* data, size_t size, size_t items) override {
    hash.update(data, static_cast<int64_t>(size * items));
    sink(data, size * items);
    return items;
  }
  const FileSink& sink;
  ContentHash hash;
};

}  // namespace

void build_ivf_pq(const KeyStore& store, const IvfPqOptions& options) {
  const int64_t width = store.width(), entries = store.size();
  if (entries < kCodes * kKeysPerList / 4)
    raise<UsageError>("{} has {} entries, too few for IVF-PQ; search it exactly", store.folder(), entries);
  const int64_t wanted =
      options.lists > 0 ? options.lists : static_cast<int64_t>(std::sqrt(static_cast<double>(entries)));
  const int64_t sample =
      std::min(entries, options.sample > 0 ? options.sample : std::max<int64_t>(256 * wanted, 16384));
  const int64_t lists = std::max<int64_t>(1, std::min(wanted, sample / kKeysPerList));
  const int64_t bytes = code_bytes(width, options.bytes);
  faiss::IndexFlatL2 quantizer(static_cast<int>(width));
  faiss::IndexIVFPQ index(&quantizer, static_cast<size_t>(width), static_cast<size_t>(lists),
                          static_cast<size_t>(bytes), 8);
  const OneThread one;
  index.cp.seed = index.pq.cp.seed = static_cast<int>(options.seed);
  std::vector<float> keys;
  for (const int64_t entry : sampled(entries, sample, options.seed)) {
    keys.resize(keys.size() + as_index(width));
    store.read_keys(entry, 1, std::span(keys).last(as_index(width)));
  }
  index.train(std::ssize(keys) / width, keys.data());
  keys.resize(as_index(std::min(kBlock, entries) * width));
  for (int64_t begin = 0; begin < entries; begin += kBlock) {
    const int64_t block = std::min(kBlock, entries - begin);
    store.read_keys(begin, block, keys);
    index.add(block, keys.data());
  }
  std::string hash;
  write_synced(path_in(store, kIndex), [&](const FileSink& sink) {
    SinkWriter writer(sink);
    faiss::write_index(&index, &writer);
    hash = format_hash(writer.hash.value());
  });
  replace_text(path_in(store, kDescription), hashed_json({{"store", store.hash()},
                                                          {"index", hash},
                                                          {"lists", lists},
                                                          {"bytes", bytes},
                                                          {"sample", sample},
                                                          {"seed", options.seed}},
                                                         kFormat));
}

struct IvfPqSearch::Index {
  std::unique_ptr<faiss::Index> owner;
  faiss::IndexIVFPQ* index = nullptr;
};

IvfPqSearch::IvfPqSearch(const KeyStore& store, int64_t probes) : index_(std::make_unique<Index>()) {
  if (!file_exists(path_in(store, kDescription)))
    raise<CheckpointError>("{} has no IVF-PQ index; make one with moe-retrieve index", store.folder());
  const Json facts = read_hashed_json(path_in(store, kDescription), kFormat);
  if (facts.at("store") != store.hash())
    raise<CheckpointError>("{} is of other keys than the store's; make it again with moe-retrieve index",
                           path_in(store, kIndex));
  if (hash_of_content(path_in(store, kIndex)) != facts.at("index").get<std::string>())
    raise<CheckpointError>("{} is damaged; make it again with moe-retrieve index", path_in(store, kIndex));
  try {
    index_->owner.reset(faiss::read_index(path_in(store, kIndex).c_str()));
  } catch (const faiss::FaissException& error) {
    raise<CheckpointError>("cannot read {}: {}", path_in(store, kIndex), error.what());
  }
  index_->index = dynamic_cast<faiss::IndexIVFPQ*>(index_->owner.get());
  if (!index_->index || index_->index->ntotal != store.size())
    raise<CheckpointError>("{} is no IVF-PQ index of the store", path_in(store, kIndex));
  index_->index->nprobe = static_cast<size_t>(probes);
  description_ = fmt::format("IVF-PQ, {} lists, {} bytes a key, {} probes", facts.at("lists").get<int64_t>(),
                             facts.at("bytes").get<int64_t>(), probes);
}

IvfPqSearch::~IvfPqSearch() = default;

void IvfPqSearch::find(std::span<const float> queries, int64_t count, std::span<int64_t> ids) const {
  const int64_t rows = std::ssize(queries) / index_->index->d;
  std::vector<float> distances(ids.size());
  std::vector<int64_t> found(ids.size());
  const int64_t width = index_->index->d;
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t first = 0; first < rows; first += kQueriesOfThread) {
    const int64_t own = std::min(kQueriesOfThread, rows - first);
    index_->index->search(own, queries.data() + first * width, count, distances.data() + first * count,
                          found.data() + first * count);
  }
  std::copy(found.begin(), found.end(), ids.begin());
}

}  // namespace moe
