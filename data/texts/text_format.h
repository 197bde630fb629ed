// The supported formats of labelled texts. Each has a file in data/texts/formats and an entry in the table.
#pragma once
#include "core/base/table.h"
#include "data/texts/text_set.h"

namespace moe {

// An entry of the table of formats; data.labelled.format selects it by name.
struct TextFormat {
  const char* name;
  bool (*is_in)(const std::string& folder);
  TextFiles (*read)(const std::string& folder);  // throws DataError that names file and line
};
const Table<TextFormat>& text_formats();

// sst5: trees_train.txt, trees_dev.txt, trees_test.txt of the Stanford Sentiment Treebank (Socher et al., 2013), one
// tree per line. The label of the whole sentence is the root's, 0 to 4.
bool has_sst5_texts(const std::string& folder);
TextFiles read_sst5_texts(const std::string& folder);
// sst2: sst2_train.tsv, sst2_dev.tsv, sst2_test.tsv. Each line has a sentence and 0 or 1; a heading is optional.
bool has_sst2_texts(const std::string& folder);
TextFiles read_sst2_texts(const std::string& folder);
// imdb: train.tsv and test.tsv of the Large Movie Review Dataset (Maas et al., 2011). Each line has label (0 or 1),
// number, rating (0 to 10) and review.
bool has_imdb_texts(const std::string& folder);
TextFiles read_imdb_texts(const std::string& folder);
// banking77: train.csv, test.csv (text,category) and categories.json, the category names in label order (Casanueva et
// al., 2020).
bool has_banking77_texts(const std::string& folder);
TextFiles read_banking77_texts(const std::string& folder);
// tsv: train.tsv and optionally validation.tsv and test.tsv. Each line has a label, which is any word, and a text.
bool has_tsv_texts(const std::string& folder);
TextFiles read_tsv_texts(const std::string& folder);
// jsonl: train.jsonl and optionally validation.jsonl and test.jsonl. Each line is {"label": ..., "text": "..."}; labels
// are words or whole numbers.
bool has_jsonl_texts(const std::string& folder);
TextFiles read_jsonl_texts(const std::string& folder);

}  // namespace moe
