// The formats of labelled texts that are read: a file each in data/texts/formats, a line each in the table.
#pragma once
#include "core/base/table.h"
#include "data/texts/text_set.h"

namespace moe {

// A line of the table of formats, which data.labelled.format names.
struct TextFormat {
  const char* name;
  bool (*is_in)(const std::string& folder);
  TextFiles (*read)(const std::string& folder);  // throws DataError that names file and line
};
const Table<TextFormat>& text_formats();

// sst5: trees_train.txt, trees_dev.txt, trees_test.txt of the Stanford Sentiment Treebank (Socher et al., 2013), a tree
// a line; the label of the whole sentence is the root's, 0 to 4.
bool has_sst5_texts(const std::string& folder);
TextFiles read_sst5_texts(const std::string& folder);
// sst2: sst2_train.tsv, sst2_dev.tsv, sst2_test.tsv, lines of a sentence and 0 or 1, with or without a heading.
bool has_sst2_texts(const std::string& folder);
TextFiles read_sst2_texts(const std::string& folder);
// imdb: train.tsv and test.tsv of the Large Movie Review Dataset (Maas et al., 2011), lines of label (0 or 1), number,
// rating (0 to 10) and review.
bool has_imdb_texts(const std::string& folder);
TextFiles read_imdb_texts(const std::string& folder);
// banking77: train.csv, test.csv (text,category) and categories.json, the names in order (Casanueva et al., 2020).
bool has_banking77_texts(const std::string& folder);
TextFiles read_banking77_texts(const std::string& folder);
// tsv: train.tsv and, where there, validation.tsv and test.tsv, lines of a label, which is any word, and a text.
bool has_tsv_texts(const std::string& folder);
TextFiles read_tsv_texts(const std::string& folder);
// jsonl: the same in train.jsonl, ..., lines of {"label": ..., "text": "..."}; labels are words or whole numbers.
bool has_jsonl_texts(const std::string& folder);
TextFiles read_jsonl_texts(const std::string& folder);

}  // namespace moe
