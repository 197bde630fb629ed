#include "data/tokenizers/trained.h"

#include <filesystem>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "data/corpus_manifest.h"
#include "data/posix_file.h"

namespace moe {

namespace fs = std::filesystem;

// The description in a file, or null where it is none of ours.
static Json read_description(const std::string& file) {
  if (!fs::is_regular_file(file)) return {};
  char first = 0;
  if (PosixFile::open(file).read(&first, 1) != 1 || first != '{') return {};
  try {
    Json json = parse_json(read_text_file(file));
    const Json* name = json.find("name");
    if (!name || !name->is_string() || !tokenizers().find(name->get<std::string>())) return {};
    return json;
  } catch (const JsonError&) {
    return {};
  }
}

std::string trained_tokenizer_file(const std::string& path) {
  if (!fs::is_directory(path)) return path;
  if (CorpusManifest::exists_in(path)) return CorpusManifest::path_in(path);
  const std::string file = path + "/" + kTokenizerFile;
  return fs::exists(file) ? file : path + "/" + kOldTokenizerFile;
}

static Json find_description(const std::string& path) {
  if (fs::is_directory(path) && CorpusManifest::exists_in(path)) return CorpusManifest::read(path).tokenizer;
  return read_description(trained_tokenizer_file(path));
}

std::unique_ptr<Tokenizer> make_trained_tokenizer(const TrainingText&, const TokenizerOptions& options) {
  refuse_foreign(options, "trained", "vocabulary");
  const Json description = find_description(options.vocabulary);
  if (!description.is_object()) {
    raise<UsageError>(
        "the tokenizer 'trained' needs the folder of a checkpoint or of a prepared corpus, or its {}; '{}' is none",
        kTokenizerFile, options.vocabulary);
  }
  return load_tokenizer(description, options.vocabulary);
}

bool is_trained_tokenizer(const std::string& path) {
  return find_description(path).is_object();
}

}  // namespace moe
