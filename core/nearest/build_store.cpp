#include "core/nearest/build_store.h"

#include <iostream>
#include <utility>

#include "core/base/log.h"
#include "core/checkpoint/files.h"
#include "core/nearest/subject.h"
#include "core/retrieval/key_store.h"
#include "core/retrieval/token_keys.h"
#include "core/step/cpu_setup.h"
#include "data/content_hash.h"

namespace moe {

static int64_t term(const EvaluationSet& set, const std::string& name) {
  for (const auto& [key, value] : set.terms()) {
    if (name == key) return value;
  }
  return 0;
}

void build_store(const RetrievalOptions& options, MpiSession& session) {
  Subject s = load_subject(options, session);
  Communicator& world = *s.run.world;
  const std::string split = options.split.empty() ? "train" : options.split;
  const auto set = s.task->evaluation_set(split, options.evaluation);
  StoreFacts facts{.checkpoint = s.run.checkpoint,
                   .model = s.model,
                   .vocabulary = s.vocabulary,
                   .data = s.task->data_name(),
                   .path = options.data.empty() ? s.run.config.data.location() : options.data,
                   .split = split,
                   .text = format_hash(s.task->content_hash(split)),
                   .documents = std::string(set->documents()),
                   .context = term(*set, "context"),
                   .stride = term(*set, "stride"),
                   .key = key_kind(options.key),
                   .format = number_format(options.dtype)};
  const auto read = [&](const StoreSink& add) {
    read_keys(*s.run.state, s.run.groups, *set, facts.key, options.evaluation.sequences, [&](KeyedTokens& tokens) {
      const KeyedTokens all = gathered(world, std::move(tokens));
      if (s.first) add(all);
    });
  };
  if (!s.first) return read({});
  write_store(options.output, facts, read);
  const KeyStore store(options.output);
  log::info("{} | {} entries of {} {} | {} keys of {} numbers, {}", options.output, store.size(), facts.data, split,
            options.key, store.width(), options.dtype);
  if (split != "train") log::warn("the store holds the {} split, not training text", split);
}

void index_store(const RetrievalOptions& options, MpiSession& session) {
  setup_cpu(options.threads, false, session.local());
  if (session.world()->rank() != 0) return;
  const KeyStore store(options.store);
  store.verify();
  build_ivf_pq(store, options.ivf);
  log::info("{} | {}", options.store, IvfPqSearch(store, options.ivf.probes).description());
}

void print_store(const RetrievalOptions& options, MpiSession& session) {
  if (session.world()->rank() != 0) return;
  const KeyStore store(options.store);
  if (options.verify) store.verify();
  std::cout << read_text(options.store + "/store.json");
}

}  // namespace moe
