// Indices of documents: a damaged one is refused, and one that is accepted finds every token's document.
#include "data/document_index.h"

#include <algorithm>

#include "tests/fuzz/fuzz_target.h"

namespace moe {

static constexpr int64_t kTokens = 5000, kSources = 3;

static void read_index(std::string_view input) {
  const DocumentIndex index(scratch_file("train.documents", input), kTokens, kSources);
  int64_t count = 0, before = -1;
  index.visit(0, index.size(), [&](const Document& document) {
    require(document.begin > before && document.begin < kTokens, "documents that do not follow one another");
    require(document.source >= 0 && document.source < kSources, "a document of an unknown source");
    require(index.find(document.begin) == count, "a first token that is in another document");
    if (document.begin > 0)
      require(index.find(document.begin - 1) == count - 1, "a token that is in the wrong document");
    before = document.begin;
    ++count;
    return true;
  });
  require(count == index.size(), "an index that visits another number of documents");
  require(index.find(kTokens - 1) == count - 1, "a last token that is not in the last document");
}

// Of one document, of several, and of more than the index keeps in memory.
static std::vector<std::string> seeds() {
  std::vector<std::string> files;
  for (const int64_t documents : {1, 5, 600}) {
    const std::string path = scratch_folder() + "/seed.documents";
    DocumentIndexWriter writer(path);
    for (int64_t i = 0; i < documents; ++i) writer.add({i * (kTokens / documents), i % kSources});
    writer.finish(kTokens);
    files.push_back(file_content(path));
  }
  return files;
}

static const FuzzTarget target("document_index", read_index, seeds);

}  // namespace moe
