// moe-retrieve: datastores of a model's states: builds them, searches them, and interpolates the model with them.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <optional>

#include "apps/command_line.h"
#include "comm/peer_watch.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/files.h"
#include "core/convert/scratch_folder.h"
#include "core/inspect/retrieval_report.h"
#include "core/nearest/faiss_search.h"
#include "core/record/run_folder.h"
#include "core/reload/load_run.h"
#include "core/retrieval/neighbour_map.h"
#include "core/step/cpu_setup.h"
#include "core/tasks/open_corpus.h"
#include "data/content_hash.h"
#include "data/evaluation_windows.h"
#include "data/tokenizer.h"

using namespace moe;

namespace {

// The options of all commands; each has some of them.
struct Options {
  std::string run, which = "last", store, output, data, split, key = "hidden", dtype = "f16", text, index = "flat",
                   tuned, table, device = "auto", precision = "run";
  EvaluationOptions evaluation{.sequences = 8};
  IvfPqOptions ivf;
  std::vector<int64_t> ks;
  std::vector<double> shares;
  int64_t chunk = 64, length = 64, window = 0;
  int64_t k = 8, tuning_tokens = 0, expert_parallel = 0;
  int threads = 0;
  double lambda = -1, temperature = 0;
  bool json = false, verify = false;

  void add_run(CommandLine& app) {
    app.add_option("run", run, "folder of a run or of a checkpoint").required();
    app.add_option("--checkpoint", which, "checkpoint of a run: last, best or a step").capture_default_str();
    app.add_option("--data", data, "path of other data than the run's, prepared with the same tokenizer");
    add_machine(app);
  }
  void add_machine(CommandLine& app) {
    app.add_option("--batch", evaluation.sequences, "windows per forward pass; affects only the speed")
        .capture_default_str()
        .positive();
    app.add_option("--expert-parallel", expert_parallel,
                   "number of ranks that share the experts; default: the largest possible number");
    add_threads(app);
    add_device_options(app, device, precision);
  }
  void add_threads(CommandLine& app) {
    app.add_option("--threads", threads, "threads per rank; default: cores / ranks");
  }
  void add_windows(CommandLine& app) {
    app.add_option("--context", evaluation.context, "tokens per window; default: the training length");
    app.add_option("--stride", evaluation.stride,
                   "tokens scored per window, the others only serve as context; default: all");
    app.add_option("--tokens", evaluation.tokens, "leading tokens of the split; default: all");
  }
  void add_search(CommandLine& app) {
    app.add_option("--index", index, "flat (exact) or ivfpq (made by the command index)")
        .capture_default_str()
        .one_of({"flat", "ivfpq"});
    app.add_option("--probes", ivf.probes, "with ivfpq: lists that a search looks into")
        .capture_default_str()
        .between(1, 1 << 20);
  }
  // `tunes`: the command only chooses the parameters.
  void add_interpolation(CommandLine& app, bool tunes) {
    app.add_option("store", store, "folder of a store").required();
    add_windows(app);
    add_search(app);
    app.add_option("--k", ks, "numbers of neighbours to choose from: a list; default: 8,64,256").delimiter(',');
    if (tunes) return;
    app.add_option("--share", shares,
                   "leading shares of the store that are searched, one after the other: a list like 0.25,0.5,1; exact "
                   "search only")
        .delimiter(',');
    app.add_option("--lambda", lambda,
                   "weight of the neighbours, with --temperature and one --k; default: chosen on "
                   "the validation split")
        .between_numbers(0, 1);
    app.add_option("--temperature", temperature, "of the squared distances").between_numbers(1e-30, 1e30);
    app.add_option("--tuned", tuned, "file of the command tune with k, lambda and temperature");
    app.add_option("--tuning-tokens", tuning_tokens, "leading tokens of the validation split that they are chosen on");
    app.add_option("--table", table, "write nats without and with the store, token by token, to this file (TSV)");
    app.add_flag("--json", json, "print everything as one JSON object");
  }
};

// A trained model with its text.
struct Subject {
  LoadedRun run;
  std::unique_ptr<Task> task;
  std::string model, vocabulary;  // hashes
  bool first = false;             // on rank 0
};

}  // namespace

static Subject load_subject(const Options& options, MpiSession& session) {
  setup_cpu(options.threads, false, session.local());
  const DeviceChoice device =
      choose_device_for(options.run, options.which, options.device, options.precision, session.local());
  std::vector<std::string> settings;
  if (options.evaluation.context > 0) {
    settings =
        settings_for_context(load_run_config(find_checkpoint(options.run, options.which)), options.evaluation.context);
  }
  Subject subject{load_run(options.run, options.which, session.world(), options.expert_parallel,
                           options.evaluation.sequences, device, settings),
                  {},
                  {},
                  {},
                  session.world()->rank() == 0};
  if (!models().at(subject.run.config.task).reads_on ||
      !tasks().at(subject.run.config.task).tokenizer(subject.run.samples))
    raise<UsageError>("{} is of a run with task: {}; retrieval needs a language model", subject.run.checkpoint,
                      subject.run.config.task);
  subject.task = subject.run.open_task(options.data);
  subject.model = model_hash(subject.run.checkpoint);
  subject.vocabulary = hash_of_text(json_text(subject.run.samples));
  if (subject.run.state->model->causality() > Causality::causal)
    log::warn("not causal: a token's experts depend on later tokens. These results do not measure prediction");
  return subject;
}

static int64_t term(const EvaluationSet& set, const std::string& name) {
  for (const auto& [key, value] : set.terms()) {
    if (name == key) return value;
  }
  return 0;
}

static void build(const Options& options, MpiSession& session) {
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

static void make_index(const Options& options, MpiSession& session) {
  setup_cpu(options.threads, false, session.local());
  if (session.world()->rank() != 0) return;
  const KeyStore store(options.store);
  store.verify();
  build_ivf_pq(store, options.ivf);
  log::info("{} | {}", options.store, IvfPqSearch(store, options.ivf.probes).description());
}

static void print_info(const Options& options, MpiSession& session) {
  if (session.world()->rank() != 0) return;
  const KeyStore store(options.store);
  if (options.verify) store.verify();
  std::cout << read_text(options.store + "/store.json");
}

// The searches that the options ask for; more than one with --share.
static std::vector<StoreSearch> searches_of(const Options& options, const KeyStore& store, int64_t k) {
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

// A store, opened for a model and the searches of it.
struct OpenStore {
  KeyStore store;
  std::vector<int64_t> ks;
  std::vector<StoreSearch> searches;

  int64_t largest_k() const { return *std::max_element(ks.begin(), ks.end()); }
};

static std::unique_ptr<OpenStore> open_store(const Options& options, const Subject& s, std::vector<int64_t> ks) {
  auto open = std::make_unique<OpenStore>(OpenStore{KeyStore(options.store), std::move(ks), {}});
  open->store.require(s.model, s.vocabulary);
  if (options.index == "flat") open->store.verify();
  for (const int64_t k : open->ks) {
    if (k < 1 || k > open->store.size())
      raise<UsageError>("--k {}: expected 1 to {}, the store's entries", k, open->store.size());
  }
  open->searches = searches_of(options, open->store, open->largest_k());
  return open;
}

// Finds the neighbours of a split's tokens.
static TextNeighbours read_split(const Options& options, Subject& s, const OpenStore& open, const std::string& split,
                                 int64_t tokens) {
  const StoreFacts& facts = open.store.facts();
  if (facts.text == format_hash(s.task->content_hash(split))) {
    raise<UsageError>("{} holds the evaluated text itself ({} {}); evaluate a split that is not in the store",
                      options.store, facts.data, facts.split);
  }
  EvaluationOptions evaluation = options.evaluation;
  evaluation.tokens = tokens;
  const auto set = s.task->evaluation_set(split, evaluation);
  return find_neighbours(*s.run.state, s.run.groups, *s.run.world, *set, evaluation.sequences, open.store,
                         open.searches, open.largest_k());
}

static std::vector<int64_t> ks_of(const Options& options, const std::string& store) {
  if (!options.ks.empty()) return options.ks;
  const int64_t entries = KeyStore(store).size();
  std::vector<int64_t> ks;
  for (const int64_t k : {8, 64, 256}) {
    if (k <= entries || ks.empty()) ks.push_back(std::min<int64_t>(k, entries));
  }
  return ks;
}

static std::string in_words(const Interpolation& x) {
  return fmt::format("k {}, lambda {:.4f}, temperature {:.4g}", x.k, x.lambda, x.temperature);
}

static constexpr const char* kTunedFormat = "moe-train interpolation 1";

static void tune_store(const Options& options, MpiSession& session) {
  Subject s = load_subject(options, session);
  const std::string split = options.split.empty() ? "validation" : options.split;
  const auto open = open_store(options, s, ks_of(options, options.store));
  const TextNeighbours read = read_split(options, s, *open, split, options.evaluation.tokens);
  if (!s.first) return;
  const TunedInterpolation tuned = tune(read.found.front(), open->ks);
  log::info("{} | {} | {} {} of {:.0f} tokens: {:.4f} nats per token, {:.4f} without the store", options.store,
            in_words(tuned.best), s.task->data_name(), split, read.model.tokens, tuned.nats, tuned.model_nats);
  const Json record = {{"store", open->store.hash()},
                       {"search", open->searches.front().name},
                       {"split", split},
                       {"text", format_hash(s.task->content_hash(split))},
                       {"k", tuned.best.k},
                       {"lambda", tuned.best.lambda},
                       {"temperature", tuned.best.temperature},
                       {"nll", tuned.nats},
                       {"model_nll", tuned.model_nats}};
  if (!options.output.empty()) replace_text(options.output, hashed_json(record, kTunedFormat));
  std::cout << json_text(record) << "\n";
}

// Parameters that were given, or none.
static std::optional<Interpolation> given(const Options& options) {
  if (!options.tuned.empty()) {
    const Json json = read_hashed_json(options.tuned, kTunedFormat);
    return Interpolation{json.at("k"), json.at("lambda"), json.at("temperature")};
  }
  if (options.lambda < 0 && options.temperature == 0) return std::nullopt;
  if (options.lambda < 0 || options.temperature == 0 || options.ks.size() != 1)
    throw UsageError("--lambda and --temperature go together, with one --k");
  return Interpolation{options.ks.front(), options.lambda, options.temperature};
}

static void evaluate_store(const Options& options, MpiSession& session) {
  Subject s = load_subject(options, session);
  const std::string split = options.split.empty() ? "test" : options.split;
  const std::optional<Interpolation> fixed = given(options);
  const auto open = open_store(options, s, fixed ? std::vector<int64_t>{fixed->k} : ks_of(options, options.store));
  std::vector<Interpolation> with;
  std::string chosen_on = fixed ? "as given" : "chosen on the validation split";
  if (fixed) {
    with.assign(open->searches.size(), *fixed);
  } else {
    if (split == "validation")
      throw UsageError(
          "k, lambda and temperature are chosen on the validation split; evaluate another one, or give them");
    const TextNeighbours read = read_split(options, s, *open, "validation", options.tuning_tokens);
    for (const TokenNeighbours& found : read.found)
      with.push_back(s.first ? tune(found, open->ks).best : Interpolation{});
  }
  const TextNeighbours read = read_split(options, s, *open, split, options.evaluation.tokens);
  if (!s.first) return;
  std::vector<RetrievalResult> results;
  for (size_t i = 0; i < with.size(); ++i)
    results.push_back(retrieval_result(open->searches[i], read.model, read.found[i], with[i]));
  if (!options.table.empty()) replace_text(options.table, retrieval_table(read.found.back(), with.back()));
  log::info("{} | {} {}, {:.0f} tokens | store {}: {} keys of {} {}", s.run.checkpoint, s.task->data_name(), split,
            read.model.tokens, options.store, name_of(open->store.facts().key), open->store.facts().data,
            open->store.facts().split);
  if (!options.json) {
    std::cout << retrieval_text(read.model, results, chosen_on) << std::flush;
    return;
  }
  Json record = {{"checkpoint", s.run.checkpoint},
                 {"data", s.task->data_name()},
                 {"split", split},
                 {"store", options.store},
                 {"key", name_of(open->store.facts().key)}};
  record.update(retrieval_json(read.model, results));
  std::cout << json_text_replacing(record) << "\n";
}

// The text around an entry, with the entry's token in brackets.
static std::string around(const Split& split, const Tokenizer& tokenizer, int64_t position) {
  constexpr int64_t kBefore = 24, kAfter = 8;
  const int64_t begin = std::max<int64_t>(position - kBefore, 0);
  const int64_t end = std::min(position + kAfter, split.num_tokens());
  std::vector<int32_t> tokens(as_index(end - begin));
  split.read(begin, end - begin, tokens.data());
  const std::span<const int32_t> all = tokens;
  const auto text = [&](int64_t from, int64_t to) {
    const auto part = all.subspan(as_index(from - begin), as_index(to - from));
    return tokenizer.decode({part.begin(), part.end()});
  };
  return text(begin, position) + "[" + text(position, position + 1) + "]" + text(position + 1, end);
}

static void search(const Options& given_options, MpiSession& session) {
  Options options = given_options;
  if (options.run.empty()) options.run = KeyStore(options.store).facts().checkpoint;
  if (options.data.empty()) options.data = KeyStore(options.store).facts().path;
  Subject s = load_subject(options, session);
  const auto open = open_store(options, s, {std::min(options.k, KeyStore(options.store).size())});
  const auto tokenizer = load_tokenizer(*tasks().at(s.run.config.task).tokenizer(s.run.samples), s.run.samples_file);
  std::vector<int32_t> tokens;
  tokenizer->encode(options.text, tokens);
  if (tokens.empty()) throw UsageError("--text is empty; give the text whose continuation is searched for");
  const int64_t context = s.run.config.data.sequence;
  if (std::ssize(tokens) > context) tokens.erase(tokens.begin(), tokens.end() - context);
  tokens.push_back(tokens.back());  // so that the last one predicts something
  Split prompt("prompt");
  prompt.append(tokens);
  const EvaluationWindows set(prompt, context, context);
  std::vector<float> query;
  read_keys(*s.run.state, s.run.groups, set, open->store.facts().key, options.evaluation.sequences,
            [&](KeyedTokens& read) {
              const KeyedTokens all = gathered(*s.run.world, std::move(read));
              if (all.size() > 0) query.assign(all.keys.end() - all.width, all.keys.end());
            });
  if (!s.first) return;
  const StoreSearch& by = open->searches.front();
  const NearestEntries nearest = nearest_entries(open->store, *by.search, query, open->largest_k(), by.candidates);
  DataConfig data = s.run.config.data;
  if (options.data != data.location()) data.use(options.data);
  const Corpus corpus = open_corpus(data, *tokenizer);
  const Split& split = corpus.split(open->store.facts().split);
  if (format_hash(split.content_hash()) != open->store.facts().text) {
    raise<DataError>("{} is no longer the text of {}, or another one; --data names it", options.data, options.store);
  }
  std::cout << "distance\tposition\tnext\ttext\n";
  for (size_t i = 0; i < nearest.ids.size() && nearest.ids[i] >= 0; ++i) {
    const int64_t position = open->store.position(nearest.ids[i]);
    std::cout << fmt::format("{:.6g}\t{}\t{}\t{}\n", nearest.distances[i], position, open->store.next(nearest.ids[i]),
                             shown(around(split, *tokenizer, position)));
  }
}

// Rank 0: the chunk for each of a split's chunks, whose vectors `vectors(begin, count)` returns.
static SplitNeighbours neighbours_in(const NeighbourFacts& facts, const KeyStore& chunks, const Task& task,
                                     const std::string& split, int64_t training_tokens, int64_t count,
                                     const std::function<std::vector<float>(int64_t, int64_t)>& vectors) {
  constexpr int64_t kQueriesAtOnce = 4096;

  const FlatSearch search(chunks);
  SplitNeighbours result{format_hash(task.content_hash(split)), {}};
  for (int64_t begin = 0; begin < count; begin += kQueriesAtOnce) {
    const std::vector<float> queries = vectors(begin, std::min(kQueriesAtOnce, count - begin));
    const auto nearest = nearest_chunks(facts, chunks, search, queries, begin, training_tokens, split == "train");
    result.nearest.insert(result.nearest.end(), nearest.begin(), nearest.end());
  }
  return result;
}

static void find_chunks(const Options& options, MpiSession& session) {
  Subject s = load_subject(options, session);
  NeighbourFacts facts{.checkpoint = s.run.checkpoint,
                       .model = s.model,
                       .key = options.key,
                       .chunk = options.chunk,
                       .length = options.length,
                       .window = options.window > 0 ? options.window : s.run.config.data.sequence};
  const KeyKind kind = key_kind(options.key);
  const auto read = [&](const std::string& split, const ChunkVisitor& visit) {
    const auto set = s.task->evaluation_set(split, options.evaluation);
    read_chunks(*s.run.state, s.run.groups, *s.run.world, *set, kind, options.evaluation.sequences, options.chunk,
                visit);
    return set->num_tokens() + 1;
  };
  std::optional<ScratchFolder> scratch;
  std::optional<KeyStore> chunks;
  std::map<std::string, SplitNeighbours> splits;
  int64_t training_tokens = 0;
  if (s.first) {
    scratch.emplace(options.output + ".chunks");
    write_store(scratch->path() + "/store", {.key = kind}, [&](const StoreSink& add) {
      training_tokens = read("train", [&](int64_t chunk, std::span<const float> vector) {
        KeyedTokens one{std::ssize(vector), {vector.begin(), vector.end()}, {0}, {chunk * options.chunk}, {0}};
        add(one);
      });
    });
    chunks.emplace(scratch->path() + "/store");
    splits["train"] = neighbours_in(facts, *chunks, *s.task, "train", training_tokens, chunks->size(),
                                    [&](int64_t begin, int64_t count) {
                                      std::vector<float> queries(as_index(count * chunks->width()));
                                      chunks->read_keys(begin, count, queries);
                                      return queries;
                                    });
  } else {
    read("train", {});
  }
  for (const std::string split : {"validation", "test"}) {
    if (!s.task->has_split(split)) continue;
    std::vector<float> vectors;
    read(split,
         [&](int64_t, std::span<const float> vector) { vectors.insert(vectors.end(), vector.begin(), vector.end()); });
    if (!s.first) continue;
    const int64_t width = chunks->width();
    splits[split] = neighbours_in(facts, *chunks, *s.task, split, training_tokens, std::ssize(vectors) / width,
                                  [&](int64_t begin, int64_t count) {
                                    const auto from = vectors.begin() + begin * width;
                                    return std::vector<float>(from, from + count * width);
                                  });
  }
  if (!s.first) return;
  write_neighbours(options.output, facts, training_tokens, splits);
  log::info("{} | {} | {} chunks of {} tokens, prefixes of up to {} before windows of up to {}", options.output,
            s.task->data_name(), chunks->size(), facts.chunk, facts.length, facts.window);
}

static int retrieve(int argc, char** argv, MpiSession& session) {
  CommandLine app(
      "Datastores of a model's states (kNN-LM): a key and the token after it for each token of a text. "
      "docs/retrieval.md");
  app.require_subcommand();
  // Options share their variables, and one subcommand is parsed.
  Options o;
  CommandLine builds = app.add_subcommand("build", "build a store from a text, by default the run's training text");
  o.add_run(builds);
  o.add_windows(builds);
  builds.add_option("-o,--output", o.output, "folder of the new store").required();
  builds.add_option("--split", o.split, "split whose text is stored; default: train");
  builds.add_option("--key", o.key, "hidden (input of the last feed-forward part) or routing (weights of all layers)")
      .capture_default_str()
      .one_of({"hidden", "routing"});
  builds.add_option("--dtype", o.dtype, "number format of the keys: f16, bf16 or f32")
      .capture_default_str()
      .one_of({"f16", "bf16", "f32"});
  CommandLine indexes = app.add_subcommand("index", "add an IVF-PQ index to a store: compressed keys in lists");
  indexes.add_option("store", o.store, "folder of a store").required();
  indexes.add_option("--lists", o.ivf.lists, "lists of keys; default: sqrt(entries)").not_negative();
  indexes.add_option("--bytes", o.ivf.bytes, "bytes of a key's code, a divisor of its numbers; default: a quarter")
      .not_negative();
  indexes.add_option("--sample", o.ivf.sample, "keys that it is trained on; default: 256 per list, at least 16,384")
      .not_negative();
  indexes.add_option("--seed", o.ivf.seed, "of the sample and of k-means").capture_default_str();
  o.add_threads(indexes);
  CommandLine infos = app.add_subcommand("info", "print what a store holds");
  infos.add_option("store", o.store, "folder of a store").required();
  infos.add_flag("--verify", o.verify, "also read all keys and compare their hash");
  CommandLine searches = app.add_subcommand("search", "print the stored places that are most like the end of a text");
  searches.add_option("store", o.store, "folder of a store").required();
  searches.add_option("--text", o.text, "the text whose continuation is searched for").required();
  searches.add_option("--run", o.run, "the run or checkpoint of the store, where it has been moved");
  searches.add_option("--data", o.data, "the store's corpus, where it has been moved");
  searches.add_option("-k", o.k, "places").capture_default_str().between(1, 1 << 20);
  o.add_search(searches);
  o.add_machine(searches);
  CommandLine tunes = app.add_subcommand("tune", "choose k, lambda and temperature on a text");
  o.add_run(tunes);
  o.add_interpolation(tunes, true);
  tunes.add_option("--split", o.split, "text to choose them on; default: validation");
  tunes.add_option("-o,--output", o.output, "write them to this file, for evaluate --tuned");
  CommandLine evaluates = app.add_subcommand("evaluate", "bits per character without and with a store");
  o.add_run(evaluates);
  o.add_interpolation(evaluates, false);
  evaluates.add_option("--split", o.split, "text to evaluate; default: test");
  CommandLine nears = app.add_subcommand("neighbours",
                                         "for training with data.retrieval: the nearest chunk of the "
                                         "training text for each chunk of the corpus");
  o.add_run(nears);
  nears.add_option("-o,--output", o.output, "folder of the result").required();
  nears.add_option("--chunk", o.chunk, "tokens of a chunk, of whose keys the mean is compared")
      .capture_default_str()
      .between(1, 1 << 20);
  nears.add_option("--length", o.length, "most tokens of a prefix (data.retrieval.length)")
      .capture_default_str()
      .between(1, 1 << 20);
  nears.add_option("--window", o.window, "most tokens of a window (data.sequence); default: the run's")
      .between(0, 1 << 20);
  nears.add_option("--key", o.key, "hidden or routing").capture_default_str().one_of({"hidden", "routing"});
  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  const PeerWatch peers(*session.world());
  if (builds.parsed()) build(o, session);
  if (nears.parsed()) find_chunks(o, session);
  if (indexes.parsed()) make_index(o, session);
  if (infos.parsed()) print_info(o, session);
  if (searches.parsed()) search(o, session);
  if (tunes.parsed()) tune_store(o, session);
  if (evaluates.parsed()) evaluate_store(o, session);
  return 0;
}

int main(int argc, char** argv) {
  return run_program(argc, argv, [&](MpiSession& session) { return retrieve(argc, argv, session); });
}
