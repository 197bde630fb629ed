// moe-retrieve: datastores of a model's states: builds them, searches them, and interpolates the model with them.
#include "apps/command_line.h"
#include "comm/peer_watch.h"
#include "core/nearest/build_store.h"
#include "core/nearest/chunk_neighbours.h"
#include "core/nearest/evaluate_store.h"
#include "core/nearest/search_store.h"

using namespace moe;

namespace {

// The options of the commands.
struct Options : RetrievalOptions {
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

}  // namespace

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
  if (builds.parsed()) build_store(o, session);
  if (nears.parsed()) find_chunk_neighbours(o, session);
  if (indexes.parsed()) index_store(o, session);
  if (infos.parsed()) print_store(o, session);
  if (searches.parsed()) search_store(o, session);
  if (tunes.parsed()) tune_store(o, session);
  if (evaluates.parsed()) evaluate_store(o, session);
  return 0;
}

int main(int argc, char** argv) {
  return run_program(argc, argv, [&](MpiSession& session) { return retrieve(argc, argv, session); });
}
