#include "data/texts/text_format.h"

namespace moe {

const Table<TextFormat>& text_formats() {
  static const Table<TextFormat> table{"data.labelled.format",
                                       {{"sst2", has_sst2_texts, read_sst2_texts},
                                        {"sst5", has_sst5_texts, read_sst5_texts},
                                        {"imdb", has_imdb_texts, read_imdb_texts},
                                        {"banking77", has_banking77_texts, read_banking77_texts},
                                        {"tsv", has_tsv_texts, read_tsv_texts},
                                        {"jsonl", has_jsonl_texts, read_jsonl_texts}}};
  return table;
}

}  // namespace moe
