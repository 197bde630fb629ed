// Parts of published models through the programs: planned, trained, resumed, split among ranks, changed and inspected.
#include <map>

#include "core/base/json_text.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;

static const Arguments kParts = {"model.bias={attention: all, feed_forward: true, head: true, router: true}",
                                 "model.attention.qk_norm=full",
                                 "model.attention.rope_scaling={kind: llama3, factor: 4, original_max_position: 16}",
                                 "model.vocab_size=20",
                                 "moe.shared_experts=1",
                                 "moe.shared_gate=true",
                                 "moe.lifecycle=[{kind: grow, at: [8], scale_k: true, noise: 0.01}]",
                                 "sample.every=10",
                                 "train.steps=20"};

TEST_CASE("a model with parts of published models resumes bitwise and trains on several ranks") {
  TemporaryFolder straight, broken, shared;
  done(tiny_train(straight.path(), kParts));
  done(tiny_train(broken.path(), kParts + Arguments{"train.steps=10"}));
  done(tiny_train(broken.path(), kParts) + Arguments{"--resume", "must"});
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
  CHECK(metrics_difference(straight / "run", broken / "run") == "");
  // The first half on one rank, the second on two.
  done(tiny_train(shared.path(), kParts + Arguments{"train.steps=10"}));
  done(mpirun(2) + tiny_train(shared.path(), kParts) + Arguments{"--resume", "must"});
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(shared.path())) < 1e-3);

  const Finished inspected = done(program("moe-inspect") + Arguments{straight / "run", "--json"});
  const Json report = parse_json(inspected.out);
  REQUIRE(report.at("layers").size() == 2);
  CHECK_THAT(inspected.out, Catch::Contains("shared_gate"));
  const Finished evaluated = done(program("moe-eval") + Arguments{straight / "run", "--split", "validation", "--json"});
  CHECK(parse_json(evaluated.out).at("nll").get<double>() > 0);
}

TEST_CASE("settings of earlier configurations still mean what they meant") {
  TemporaryFolder old_words, new_words;
  done(tiny_train(old_words.path(), {"model.bias=true", "model.attention.qk_norm=true", "train.steps=5"}));
  done(tiny_train(new_words.path(), {"model.bias={feed_forward: true, head: true, router: true}",
                                     "model.attention.qk_norm=head", "train.steps=5"}));
  CHECK(largest_difference(last_checkpoint(old_words.path()), last_checkpoint(new_words.path())) == 0);
}

TEST_CASE("a vocabulary with too few rows is refused before training, and by a dry run") {
  TemporaryFolder folder;
  for (const Arguments& more : {Arguments{}, Arguments{"--dry-run"}}) {
    const Finished refused = run_child(tiny_train(folder.path(), {"model.vocab_size=15"}) + more);
    CHECK(refused.code == 2);
    CHECK_THAT(refused.err, Catch::Contains("model.vocab_size") && Catch::Contains("too few for the 16 tokens"));
  }
}
