#include "core/nearest/open_store.h"

#include <algorithm>
#include <utility>

#include "core/nearest/faiss_search.h"

namespace moe {

int64_t OpenStore::largest_k() const {
  return *std::max_element(ks.begin(), ks.end());
}

// The searches that the options ask for; more than one with --share.
static std::vector<StoreSearch> searches_of(const RetrievalOptions& options, const KeyStore& store, int64_t k) {
  std::vector<StoreSearch> searches;
  if (options.index == "ivfpq") {
    if (!options.shares.empty()) throw UsageError("--share needs exact search; leave out --index ivfpq");
    auto search = std::make_unique<IvfPqSearch>(store, options.ivf.probes);
    const std::string name = search->description();
    searches.push_back({name, store.size(), 4 * k + kSpareCandidates, std::move(search)});
    return searches;
  }
  for (const double share : options.shares.empty() ? std::vector<double>{1} : options.shares) {
    const auto entries = static_cast<int64_t>(share * static_cast<double>(store.size()));
    if (!(share > 0 && share <= 1) || entries < 1)
      raise<UsageError>("--share {}: expected a share above 0, at most 1", share);
    searches.push_back({"flat", entries, k + kSpareCandidates, std::make_unique<FlatSearch>(store, entries)});
  }
  return searches;
}

static std::vector<int64_t> default_ks(int64_t entries) {
  std::vector<int64_t> ks;
  for (const int64_t k : {8, 64, 256}) {
    if (k <= entries || ks.empty()) ks.push_back(std::min<int64_t>(k, entries));
  }
  return ks;
}

std::unique_ptr<OpenStore> open_store(const RetrievalOptions& options, const Subject& s, KeyStore store,
                                      std::vector<int64_t> ks) {
  if (ks.empty()) ks = options.ks.empty() ? default_ks(store.size()) : options.ks;
  auto open = std::make_unique<OpenStore>(OpenStore{std::move(store), std::move(ks), {}});
  open->store.require(s.model, s.vocabulary);
  if (options.index == "flat") open->store.verify();
  for (const int64_t k : open->ks) {
    if (k < 1 || k > open->store.size())
      raise<UsageError>("--k {}: expected 1 to {}, the store's entries", k, open->store.size());
  }
  open->searches = searches_of(options, open->store, open->largest_k());
  return open;
}

}  // namespace moe
