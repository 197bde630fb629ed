// Hand-made traces, whose figures are computed by hand.
#include <cmath>
#include <string>
#include <vector>

#include "core/base/integer.h"
#include "core/checkpoint/files.h"
#include "core/inspect/expert_similarity.h"
#include "core/inspect/specialisation.h"
#include "core/inspect/specialisation_report.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

// 40 tokens in 2 samples of 20, each with the experts of choose(token).
template <class Choose>
static StepTrace made_up(int64_t experts, int64_t slots, Choose choose) {
  StepTrace trace{
      .facts = {.step = 0, .of = "validation", .samples = 2, .sequence = 20, .is_complete = true},
      .ids = {},
      .next = {},
      .samples = {},
      .positions = {},
      .offsets = {},
      .layers = {
          {.block = 3, .experts = experts, .slots = slots, .chosen = {}, .weights = {}, .dropped = {}, .logits = {}}}};
  for (int32_t t = 0; t < 40; ++t) {
    trace.samples.push_back(t / 20);
    trace.positions.push_back(t % 20);
    for (const int32_t expert : choose(t)) {
      trace.layers[0].chosen.push_back(expert);
      trace.layers[0].weights.push_back(1.0f / static_cast<float>(slots));
    }
  }
  return trace;
}

using Chosen = std::vector<int32_t>;

static LayerSpecialisation specialisation(const StepTrace& trace) {
  return specialisation_of(trace, trace.layers[0]);
}

TEST_CASE("specialisation by id is the mean over ids of the share of their most frequent expert") {
  // Id 0 always goes to expert 0; of id 1's twelve tokens nine go to expert 1 and three to expert 2.
  StepTrace trace = made_up(3, 1, [](int32_t t) { return Chosen{t < 20 ? 0 : t % 4 == 0 ? 2 : 1}; });
  for (int32_t t = 0; t < 40; ++t) {
    trace.ids.push_back(t < 20 ? 0 : t < 32 ? 1 : 2);  // id 2 has eight tokens, too few
    trace.next.push_back(t == 39 ? -1 : 7);
  }
  const LayerSpecialisation s = specialisation(trace);
  CHECK(s.input.value == Approx((1.0 + 9.0 / 12) / 2));
  // All 39 tokens that have a next one have the same: no permutation changes anything. Expert 0 has 20 of them.
  CHECK(s.next.value == Approx(20.0 / 39));
  CHECK(s.next.chance == Approx(20.0 / 39));
  // By chance an id's tokens are spread as all tokens are.
  CHECK(s.input.chance < 0.75);
  CHECK(s.input.chance > 0.4);
  CHECK(std::isnan(s.source.value));
  CHECK(std::isnan(s.coactivation.value));  // one expert per token
  CHECK(std::isnan(s.margin.value));        // no logits
}

TEST_CASE("specialisation by position, source file and class counts tokens of ranges, files and classes") {
  StepTrace trace = made_up(2, 1, [](int32_t t) { return Chosen{t / 20}; });
  trace.facts.sequence = 2 * LayerSpecialisation::kPositionRanges;  // positions 0 to 19 are in the ranges 0 to 9
  for (int32_t t = 0; t < 40; ++t) trace.sources.push_back(t / 20);
  CHECK(std::isnan(specialisation(trace).position.value));  // four tokens in each range
  CHECK(specialisation(trace).source.value == 1);
  CHECK(specialisation(trace).source.chance < 0.8);
  CHECK(std::isnan(specialisation(trace).label.value));
  trace.labels = trace.sources;
  CHECK(specialisation(trace).label.value == 1);
  CHECK(specialisation(trace).label.chance < 0.8);
  trace.facts.sequence = 20 * LayerSpecialisation::kPositionRanges;  // all in the first range
  CHECK(specialisation(trace).position.value == Approx(0.5));
  CHECK(specialisation(trace).position.chance == Approx(0.5));
}

TEST_CASE("the distance between a retrieved prefix and its window is that of the experts' shares of their tokens") {
  StepTrace trace = made_up(4, 1, [](int32_t t) { return Chosen{t % 2 + (t < 20 ? 0 : 1)}; });
  CHECK(std::isnan(specialisation(trace).retrieved.value));
  CHECK(specialisation(trace).load_of_part.empty());
  for (int32_t t = 0; t < 40; ++t) trace.parts.push_back(t >= 20);  // experts 0 and 1, then 1 and 2
  const LayerSpecialisation s = specialisation(trace);
  CHECK(s.load_of_part == std::vector<std::vector<double>>{{0.5, 0.5, 0, 0}, {0, 0.5, 0.5, 0}});
  CHECK(s.retrieved.value == Approx(0.5));
  CHECK(s.retrieved.chance < 0.4);
}

TEST_CASE("co-activation is the share of an expert's tokens that another expert gets too") {
  // 10 tokens with {0, 1}, 20 with {0, 2}, 10 with {3} alone.
  const StepTrace trace = made_up(4, 2, [](int32_t t) {
    return t < 10 ? Chosen{0, 1} : t < 30 ? Chosen{2, 0} : Chosen{3, kNoExpert};
  });
  const LayerSpecialisation s = specialisation(trace);
  CHECK(s.coactivation_of[0] == std::vector<double>{1, 10.0 / 30, 20.0 / 30, 0});
  CHECK(s.coactivation_of[1] == std::vector<double>{1, 1, 0, 0});
  CHECK(s.coactivation_of[3] == std::vector<double>{0, 0, 0, 1});
  CHECK(s.coactivation.value == Approx((20.0 / 30 + 1 + 1 + 0) / 4));
  CHECK(s.coactivation.chance > 0);
  CHECK(s.coactivation.chance < 1);
}

TEST_CASE("by chance, co-activation follows the loads alone") {
  // Every token has expert 0 and one of the others, in the order of their numbers; then all pairs occur equally often.
  const StepTrace fixed = made_up(3, 2, [](int32_t t) { return Chosen{0, 1 + t % 2}; });
  CHECK(specialisation(fixed).coactivation.value == Approx((0.5 + 1 + 1) / 3));
  CHECK(specialisation(fixed).coactivation.chance == Approx((0.5 + 1 + 1) / 3));  // no exchange gives other pairs
  const StepTrace even = made_up(4, 2, [](int32_t t) {
    static const std::vector<Chosen> pairs{{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}};
    return pairs[as_index(t % 6)];
  });
  CHECK(specialisation(even).coactivation.value == Approx(1.0 / 3).margin(0.05));
  CHECK(specialisation(even).coactivation.chance == Approx(1.0 / 3).margin(0.2));
}

TEST_CASE("the margin is between the probabilities of the last chosen expert and of the first that was not") {
  StepTrace trace = made_up(3, 1, [](int32_t t) { return t == 0 ? Chosen{kNoExpert} : Chosen{t % 2}; });
  // Probabilities 0.5, 0.3, 0.2: expert 0 is the largest, so a token that has expert 1 has a negative margin.
  for (int32_t t = 0; t < 40; ++t) {
    for (const double p : {0.5, 0.3, 0.2}) trace.layers[0].logits.push_back(static_cast<float>(std::log(p) + 3));
  }
  const LayerSpecialisation s = specialisation(trace);
  CHECK(s.margin.value == Approx((19 * 0.2 - 20 * 0.2) / 39).margin(1e-6));
  CHECK(s.margin.chance == Approx(s.margin.value).margin(1e-6));  // all tokens have the same logits
}

TEST_CASE("gate against load is half the distance of their shares") {
  // Each token has both experts, expert 0 with the weight 0.75.
  StepTrace trace = made_up(2, 2, [](int32_t) { return Chosen{0, 1}; });
  for (size_t i = 0; i < 80; ++i) trace.layers[0].weights[i] = i % 2 ? 0.25f : 0.75f;
  const LayerSpecialisation s = specialisation(trace);
  CHECK(s.load == std::vector<double>{0.5, 0.5});
  CHECK(s.gate_mass[0] == Approx(0.75));
  CHECK(s.gate.value == Approx(0.25));
  CHECK(s.gate.chance < 0.15);
}

TEST_CASE("an empty trace has no figures, and an even load all experts") {
  StepTrace trace = made_up(3, 1, [](int32_t) { return Chosen{kNoExpert}; });
  trace.layers[0].slots = 0;
  trace.layers[0].chosen.clear();
  trace.layers[0].weights.clear();
  const LayerSpecialisation s = specialisation(trace);
  CHECK(std::isnan(s.gate.value));
  CHECK(s.load == std::vector<double>{0, 0, 0});
  CHECK(effective_share({0.25, 0.25, 0.25, 0.25}) == Approx(1));
  CHECK(effective_share({0.5, 0.5, 0, 0}) == Approx(0.5));
  CHECK(effective_share({1, 0}) == Approx(0.5));
}

TEST_CASE("router saturation is the share of the last choices that an earlier evaluation made") {
  const auto trace_at = [](int64_t step, int32_t shift) {
    StepTrace trace = made_up(4, 2, [&](int32_t t) { return Chosen{t % 4, (t + 1 + shift) % 4}; });
    trace.facts.step = step;
    return trace;
  };
  const StepTrace last = trace_at(30, 0);
  CHECK(saturation_of(last, last).layers[0].value == 1);
  // With shift 1 the experts are t and t + 2 instead of t and t + 1: one of two agrees.
  CHECK(saturation_of(trace_at(10, 1), last).layers[0].value == Approx(0.5));
  CHECK(saturation_of(trace_at(10, 1), last).layers[0].chance < 0.7);
  // Only tokens that both have count.
  StepTrace fewer = trace_at(20, 1);
  fewer.samples.resize(1);
  fewer.positions.resize(1);
  CHECK(saturation_of(fewer, last).layers[0].value == Approx(0.5));
  StepTrace grown = trace_at(20, 1);
  grown.layers[0].experts = 5;
  CHECK(std::isnan(saturation_of(grown, last).layers[0].value));

  const TemporaryFolder folder;
  make_folder(trace_folder(folder.path(), "validation"));
  const auto write = [&](const StepTrace& trace) {
    replace_text(trace_path(folder.path(), "validation", trace.facts.step), to_file(trace));
  };
  write(last);
  CHECK(router_saturation(folder.path()).empty());
  write(trace_at(10, 1));
  write(trace_at(20, 3));  // experts t and t + 4 = t, twice
  const auto points = router_saturation(folder.path());
  REQUIRE(points.size() == 3);
  CHECK(points[0].step == 10);
  CHECK(points[0].layers[0].value == Approx(0.5));
  CHECK(points[1].layers[0].value == Approx(0.5));
  CHECK(points[2].layers[0].value == 1);
}

TEST_CASE("the report on specialisation has each figure beside chance, in at most 80 columns") {
  Inspection i;
  CHECK(specialisation_text(i).empty());
  CHECK(specialisation_section(i).empty());
  CHECK(specialisation_json(i).is_null());
  LayerSpecialisation s;
  s.block = 11;
  for (const SpecialisationFigure& f : specialisation_figures()) s.*f.figure = {0.614, 0.25};
  s.margin = {-0.051, 1};
  s.label = {};  // samples with classes have no source files
  s.load = s.gate_mass = {1};
  s.coactivation_of = {{1}};
  i.specialisation = {s};
  i.specialisation_tokens = 400;
  i.saturation = {{.step = 5, .layers = {{0.5, 0.25}}}, {.step = 10, .layers = {{1, 0.25}}}};
  const std::string text = specialisation_text(i);
  CHECK_THAT(text, Catch::Contains("on 400 tokens") && Catch::Contains(".61/.25") && Catch::Contains("-.05/1.0"));
  CHECK_THAT(text, Catch::Contains("5: 0.500 (chance 0.250)"));
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    CHECK(end - begin <= 80);
    begin = end + 1;
  }
  CHECK_THAT(specialisation_section(i), Catch::Contains("Router saturation") && Catch::Contains("0.614"));
  const Json json = specialisation_json(i);
  CHECK(json.at("layers")[0].at("input").at("chance") == 0.25);
  CHECK(json.at("saturation")[1].at("layers")[0].at("value") == 1.0);
}

TEST_CASE("the similarity of two experts' outputs is 1 for rotated ones and 0 for unrelated ones") {
  // Four tokens, outputs of width 2 around a mean. Expert 1 is expert 0 turned by 90 degrees and scaled, expert 2 is
  // orthogonal to both over the tokens, and expert 3 is constant.
  const std::vector<float> outputs{1, 5, -1, 5,  1,  5, -1, 5,   //
                                   7, 3, 7,  -3, 7,  3, 7,  -3,  //
                                   1, 0, 1,  0,  -1, 0, -1, 0,   //
                                   4, 4, 4,  4,  4,  4, 4,  4};
  const ExpertSimilarity s = expert_similarity(outputs, 4, 4);
  CHECK(s.pairs[0][1] == Approx(1));
  CHECK(s.pairs[1][0] == Approx(1));
  CHECK(s.pairs[0][2] == Approx(0).margin(1e-12));
  CHECK(s.pairs[1][2] == Approx(0).margin(1e-12));
  CHECK(std::isnan(s.pairs[0][3]));
  CHECK(s.mean.value == Approx(1.0 / 3));
  CHECK(s.mean.chance >= 0);
}
