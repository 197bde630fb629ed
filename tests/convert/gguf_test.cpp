#include "core/convert/gguf_file.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <set>

#include "core/base/integer.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/tensor_file.h"
#include "core/convert/from_gguf.h"
#include "core/convert/from_hf.h"
#include "core/convert/gguf_tensors.h"
#include "core/convert/gguf_vocabulary.h"
#include "core/convert/hf_layout.h"
#include "core/checkpoint/number_format.h"
#include "core/convert/to_gguf.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

TEST_CASE("q8_0 has a scale and 32 integers in a block") {
  std::vector<float> values(64);
  for (size_t i = 0; i < 32; ++i) values[i] = static_cast<float>(i) - 12.7f;  // the largest magnitude is 18.3
  std::vector<char> bytes(as_index(gguf_bytes(GgufFormat::q8_0, 64)));
  REQUIRE(bytes.size() == 68);
  encode_gguf(values, GgufFormat::q8_0, bytes.data());
  CHECK(static_cast<int8_t>(bytes[2]) == std::lround(-12.7 * 127 / 18.3));
  CHECK(static_cast<int8_t>(bytes[2 + 31]) == 127);
  std::vector<float> back(64, 1);
  decode_gguf(bytes.data(), GgufFormat::q8_0, back);
  for (size_t i = 0; i < 32; ++i)
    CHECK(std::abs(back[i] - values[i]) <= 18.3f / 127 / 2 + 18.3f / 2048);  // the integers', and f16's
  for (size_t i = 32; i < 64; ++i) CHECK(back[i] == 0);                      // a block of zeros has the scale 0
  CHECK_THROWS_AS(gguf_bytes(GgufFormat::q8_0, 33), InternalError);
}

// A file with metadata of every type and a tensor of every format.
static std::vector<GgufEntry> some_metadata() {
  return {{"general.architecture", std::string("llama")},
          {"yes", true},
          {"integer", int64_t{4'000'000'000}},
          {"number", 0.5},
          {"words", std::vector<std::string>{"a", "", "\xC4\xA0"}},
          {"none", std::vector<std::string>{}},
          {"integers", std::vector<int64_t>{3, -4}},
          {"alike", std::vector<int64_t>{7, 7}},
          {"numbers", std::vector<double>{0.25, -2}}};
}
static std::vector<GgufTensor> some_tensors() {
  std::vector<GgufTensor> tensors;
  for (const char* name : {"f32", "f16", "bf16", "q8_0"}) {
    tensors.push_back({name, {2, 3, 32}, gguf_format(name), [] {
                         std::vector<float> values(192);
                         for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 32) - 127;
                         values[0] = 127;
                         return values;
                       }});
  }
  tensors.push_back({"odd", {5}, GgufFormat::f32, [] { return std::vector<float>{1, 2, 3, 4, 5}; }});
  return tensors;
}

TEST_CASE("a GGUF file is read as it was written") {
  const TemporaryFolder folder;
  write_gguf(folder / "model.gguf", some_metadata(), some_tensors());
  const GgufFile file(folder / "model.gguf");
  CHECK(file.word("general.architecture", "") == "llama");
  CHECK(file.flag("yes", false));
  CHECK(file.integer("integer") == 4'000'000'000);
  CHECK(file.number("number", 0) == 0.5);
  CHECK(file.words("words") == std::vector<std::string>{"a", "", "\xC4\xA0"});
  CHECK(file.words("none").empty());
  CHECK(file.integers("integers") == std::vector<int64_t>{3, -4});
  CHECK(file.integer("alike") == 7);
  CHECK(file.integer("absent", 5) == 5);
  CHECK_THROWS_AS(file.integer("absent"), CheckpointError);
  CHECK_THROWS_AS(file.integer("integers"), CheckpointError);  // layers differ
  CHECK_THROWS_AS(file.integer("words"), CheckpointError);
  CHECK(file.unread("n") == std::vector<std::string>{"numbers"});
  CHECK(file.names() == std::vector<std::string>{"bf16", "f16", "f32", "odd", "q8_0"});
  CHECK(file.dims("f32") == Dims{2, 3, 32});
  const std::vector<float> expected = some_tensors()[0].values();
  for (const char* name : {"f32", "f16", "bf16"}) CHECK(file.read(name) == expected);  // whole numbers below 128
  const std::vector<float> rounded = file.read("q8_0");
  for (size_t i = 0; i < expected.size(); ++i) CHECK(std::abs(rounded[i] - expected[i]) <= 0.6f);
  CHECK(file.read("odd") == std::vector<float>{1, 2, 3, 4, 5});
  CHECK_THROWS_AS(file.read("absent"), CheckpointError);
}

static void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST_CASE("a GGUF file that was cut off is refused, wherever it was cut") {
  const TemporaryFolder folder;
  write_gguf(folder / "model.gguf", some_metadata(), some_tensors());
  const std::string whole = read_text(folder / "model.gguf");
  for (size_t length = 0; length < whole.size(); length += length < 700 ? 1 : 97) {
    write_bytes(folder / "cut.gguf", whole.substr(0, length));
    const auto read_all = [&] {
      const GgufFile file(folder / "cut.gguf");
      for (const std::string& name : file.names()) file.read(name);
    };
    INFO(length);
    CHECK_THROWS_AS(read_all(), CheckpointError);
  }
}

TEST_CASE("counts, sizes and places of a damaged GGUF file lead to errors") {
  const TemporaryFolder folder;
  write_gguf(folder / "model.gguf", some_metadata(), some_tensors());
  const std::string whole = read_text(folder / "model.gguf");
  int refused = 0;
  for (size_t at = 0; at < 900 && at < whole.size(); ++at) {
    for (const char damage : {'\xFF', '\x7F', '\x00'}) {
      std::string bytes = whole;
      bytes[at] = damage;
      write_bytes(folder / "damaged.gguf", bytes);
      try {
        const GgufFile file(folder / "damaged.gguf");
        for (const std::string& name : file.names()) file.read(name);
      } catch (const CheckpointError&) {
        ++refused;
      } catch (const UsageError&) {
        ++refused;
      }
    }
  }
  CHECK(refused > 500);  // others change a text or a number, which no reader can notice
}

TEST_CASE("sizes that no model has are refused before they are multiplied") {
  const TemporaryFolder folder;
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, int64_t>>{{"llama.block_count", 4'000'000'000},
                                                    {"llama.attention.head_count", 0},
                                                    {"llama.attention.head_count_kv", 4'000'000'000},
                                                    {"llama.attention.key_length", 4'000'000'000},
                                                    {"llama.expert_count", 4'000'000'000},
                                                    {"llama.feed_forward_length", 4'000'000'000}}) {
    PlainModel m;
    m.vocab = 3, m.layers = 1, m.d_model = 4, m.heads = 1, m.kv_heads = 1, m.d_head = 4, m.d_ff = 2, m.positions = 8;
    m.is_moe = {true};
    m.experts.count = 2, m.experts.d_ff = 2;
    std::vector<GgufEntry> metadata = gguf_metadata(gguf_layouts().at("llama"), m, "name", GgufFormat::f32);
    int found = 0;
    for (GgufEntry& entry : metadata) {
      if (entry.key == key || (key == "llama.attention.key_length" && entry.key == "llama.attention.value_length") ||
          (key == "llama.attention.key_length" && entry.key == "llama.rope.dimension_count"))
        entry.value = value, ++found;
    }
    INFO(key);
    CHECK(found > 0);
    write_gguf(folder / "model.gguf", metadata,
               {{"token_embd.weight", {3, 4}, GgufFormat::f32, [] { return std::vector<float>(12); }}});
    const GgufFile file(folder / "model.gguf");
    CHECK_THROWS_AS(read_model(layout_of(file), file), CheckpointError);
  }
  CHECK(elements({int64_t{1} << 40, int64_t{1} << 40}) == std::numeric_limits<int64_t>::max());
}

TEST_CASE("offsets of a safetensors file that cannot be added are refused") {
  const TemporaryFolder folder;
  for (const char* offsets :
       {"[9223372036854775807, 9223372036854775807]", "[8, 0]", "[-8, 0]", "[0, 9223372036854775807]"}) {
    const std::string header = fmt::format(R"({{"x": {{"dtype": "F32", "shape": [2], "data_offsets": {}}}}})", offsets);
    const uint64_t length = header.size();
    write_bytes(folder / "model.safetensors",
                std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + "12345678");
    INFO(offsets);
    CHECK_THROWS_AS(ForeignTensors(folder / ""), CheckpointError);
  }
}

TEST_CASE("values that a format cannot hold are refused, and no file is left") {
  const TemporaryFolder folder;
  for (const GgufFormat format : {GgufFormat::f16, GgufFormat::q8_0}) {
    const GgufTensor tensor{"x", {32}, format, [] { return std::vector<float>(32, 1e8f); }};
    CHECK_THROWS_AS(write_gguf(folder / "model.gguf", {}, {tensor}), CheckpointError);
    CHECK_FALSE(file_exists(folder / "model.gguf"));
  }
}

// A model with everything that an architecture computes.
static PlainModel model_for(const std::string& name) {
  PlainModel m;
  m.vocab = 11, m.layers = 2, m.d_model = 8, m.heads = 2, m.kv_heads = 2, m.d_head = 4, m.d_ff = 6, m.positions = 16;
  m.is_moe.assign(2, name != "qwen3");
  if (name == "qwen3" || name == "qwen3moe" || name == "dots1") m.qk_norm = QkNorm::head;
  if (name == "olmoe") m.qk_norm = QkNorm::full;
  if (name == "qwen3") return m;
  m.experts.count = 4, m.experts.d_ff = 3;
  m.experts.routing.k = 2;
  m.experts.routing.renormalise = name == "llama" || name == "qwen3moe";
  if (name == "llama") m.qkv_bias = m.attention_output_bias = true, m.kv_heads = 1;
  if (name == "qwen2moe") m.qkv_bias = true, m.experts.shared_d_ff = 5, m.experts.shared_gate = true;
  if (name == "bailingmoe" || name == "olmoe") m.tied = true;
  if (name == "dots1") {
    m.is_moe[0] = false;
    m.experts.shared_d_ff = 6;
    m.experts.routing = {.k = 2, .sigmoid = true, .selection_bias = true, .groups = 2, .scale = 2.5};
  }
  return m;
}

TEST_CASE("every architecture has a place for each of our tensors, in both directions") {
  for (const GgufLayout& layout : gguf_layouts()) {
    INFO(layout.name);
    const PlainModel model = model_for(layout.name);
    CHECK(why_not(layout, model).empty());
    CHECK(&choose_gguf_layout(model, "") == &layout);
    std::map<std::string, std::vector<float>> ours, theirs;
    float next = 0.5f;
    const GgufMap out = map_gguf(layout, model, true), in = map_gguf(layout, model, false);
    for (const OurTensor& t : out.map.ours) {
      for (int64_t i = 0; i < elements(t.dims); ++i) ours[t.name].push_back(next += 0.25f);
    }
    for (const TheirTensor& t : out.map.theirs) {
      INFO(t.name);
      CHECK(elements(out.dims(t)) == elements(t.dims));
      theirs[t.name] = their_values(t, [&](const std::string& name) { return ours.at(name); });
    }
    CHECK(theirs.count("output.weight") == 1 - (model.tied && !layout.wants_head ? 1 : 0));
    for (const OurTensor& t : in.map.ours) {
      INFO(t.name);
      CHECK(our_values(t, in.map, [&](const std::string& name) { return theirs.at(name); }) == ours.at(t.name));
    }
    // And the metadata says the same of the model.
    const TemporaryFolder folder;
    std::vector<GgufTensor> tensors;
    for (const TheirTensor& t : out.map.theirs)
      tensors.push_back({t.name, out.dims(t), GgufFormat::f32, [&theirs, &t] { return theirs.at(t.name); }});
    write_gguf(folder / "model.gguf", gguf_metadata(layout, model, "name", GgufFormat::f32), tensors);
    const GgufFile file(folder / "model.gguf");
    CHECK(layout_of(file).name == layout.name);
    PlainModel read = read_model(layout, file);
    CHECK(read.experts.routing == model.experts.routing);
    CHECK(read.is_moe == model.is_moe);
    CHECK((read.tied == model.tied && read.qk_norm == model.qk_norm && read.qkv_bias == model.qkv_bias));
    CHECK((read.kv_heads == model.kv_heads && read.d_head == model.d_head && read.vocab == model.vocab));
    CHECK(read.experts.d_ff == model.experts.d_ff);
    CHECK(file.unread(layout.name + ".").empty());
  }
}

TEST_CASE("experts are one tensor, and rotary pairs are neighbours where llama.cpp wants it") {
  const PlainModel model = model_for("llama");
  const GgufMap gguf = map_gguf(gguf_layouts().at("llama"), model, true);
  int experts = 0;
  for (const TheirTensor& t : gguf.map.theirs) {
    if (t.name == "blk.1.ffn_down_exps.weight") CHECK((++experts, gguf.dims(t) == Dims{4, 8, 3}));
    if (t.name == "blk.1.ffn_up_exps.weight") CHECK((++experts, gguf.dims(t) == Dims{4, 3, 8}));
  }
  CHECK(experts == 2);
  CHECK(gguf.turned.at("blk.0.attn_q.weight") == 2);
  CHECK(gguf.turned.at("blk.0.attn_k.bias") == 1);
  CHECK(map_gguf(gguf_layouts().at("qwen3"), model_for("qwen3"), true).turned.empty());
  // Two heads of four rows, of one number each.
  const std::vector<float> rows{0, 1, 2, 3, 4, 5, 6, 7};
  CHECK(neighbouring_pairs(rows, 2, 8) == std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7});
  CHECK(separate_halves(neighbouring_pairs(rows, 2, 8), 2, 8) == rows);
}

TEST_CASE("models that no architecture computes are refused with the reasons") {
  const auto refused = [](PlainModel model, const std::string& reason) {
    try {
      choose_gguf_layout(model, "");
      FAIL("no refusal");
    } catch (const UsageError& error) {
      INFO(error.what());
      CHECK(std::string(error.what()).find(reason) != std::string::npos);
    }
  };
  PlainModel model = model_for("qwen3moe");
  model.is_moe[1] = false;
  refused(model, "qwen3moe: it has experts in every layer");
  model = model_for("dots1");
  model.kv_heads = 1;
  refused(model, "dots1: it has as many heads of keys as of queries");
  model = model_for("llama");
  model.activation = "relu";
  refused(model, "gated by silu");
  model = model_for("qwen2moe");
  model.experts.shared_gate = false, model.qk_norm = QkNorm::full;
  refused(model, "qwen2moe: it does not normalise queries and keys");
  model = model_for("qwen3");
  model.rope_scaling.kind = "llama3";
  refused(model, "scaled as in Llama 3");
}

TEST_CASE("imported models go to a GGUF file and back bit by bit") {
  const std::map<std::string, std::string> architectures{{"mixtral", "llama"}, {"llama", "llama"}, {"qwen3", "qwen3"},
                                                         {"qwen3_moe", ""},    {"olmoe", ""},      {"qwen2_moe", ""},
                                                         {"dots1", ""}};
  int round_trips = 0;
  for (const auto& [layout, architecture] : architectures) {
    INFO(layout);
    const TemporaryFolder folder;
    from_hf(std::string(MOE_GOLDEN "/") + layout, folder / "run", {});
    const std::string checkpoint = find_checkpoint(folder / "run", "last");
    try {
      const GgufExport exported = to_gguf(checkpoint, folder / "model.gguf", {});
      if (!architecture.empty()) CHECK(exported.layout == architecture);
    } catch (const UsageError& error) {
      INFO(error.what());
      CHECK(architecture.empty());
      continue;
    }
    const GgufImport imported = from_gguf(folder / "model.gguf", folder / "again", 0);
    CHECK(imported.unread.empty());
    const TensorFolder before(checkpoint, "model"), after(find_checkpoint(folder / "again", "last"), "model");
    CHECK(before.tensors().size() == after.tensors().size());
    for (const auto& [name, tensor] : before.tensors()) {
      INFO(name);
      const ConstTensor a = before.at(name), b = after.at(name);
      REQUIRE(a.shape == b.shape);
      CHECK(std::equal(a.as<float>(), a.as<float>() + a.size(), b.as<float>()));
    }
    ++round_trips;
    CHECK_THROWS_AS(to_gguf(checkpoint, folder / "model.gguf", {}), CheckpointError);  // the file exists
  }
  CHECK(round_trips >= 4);
}

TEST_CASE("vocabularies of bytes and byte pairs come back, others are said to be absent") {
  const TemporaryFolder folder;
  const auto through_a_file = [&](const Json& description, int64_t rows) {
    const GgufVocabulary vocabulary = gguf_vocabulary(description, rows);
    write_gguf(folder / "vocabulary.gguf", vocabulary.metadata, {});
    return tokenizer_of(GgufFile(folder / "vocabulary.gguf"), rows);
  };
  for (const int64_t rows : {256, 300}) {
    const GgufTokenizer bytes = through_a_file({{"name", "byte"}}, rows);
    CHECK(bytes.why_external.empty());
    CHECK(bytes.description.at("name").get<std::string>() == "byte");
    CHECK(bytes.tokens == 256);
  }
  const GgufVocabulary words = gguf_vocabulary({{"name", "word"}}, 10);
  CHECK_FALSE(words.missing.empty());
  const GgufTokenizer none = through_a_file({{"name", "word"}}, 10);
  CHECK(none.description.at("name").get<std::string>() == "external");
  CHECK(none.tokens == 10);
  CHECK_FALSE(none.why_external.empty());
}
