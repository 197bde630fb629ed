// What a datastore adds to a language model, as a table, as JSON, and token by token.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/inspect/text_variation.h"
#include "core/retrieval/text_neighbours.h"

namespace moe {

// A model with a store, on one text.
struct RetrievalResult {
  std::string search;   // how it was searched
  int64_t entries = 0;  // that were searched
  Interpolation with;
  Evaluation interpolated;  // with the store
  double among = 0;         // share of the tokens that follow one of their neighbours
  // Of the difference in bits per character, with - without, over blocks of the text (difference_over_text).
  TextInterval interval;
};

// Interpolates the found neighbours of one search.
RetrievalResult retrieval_result(const StoreSearch& search, const Evaluation& model, const TokenNeighbours& found,
                                 const Interpolation& with);

// `chosen_on`: the text on which the parameters were chosen, or how they were given.
std::string retrieval_text(const Evaluation& model, const std::vector<RetrievalResult>& results,
                           const std::string& chosen_on);
Json retrieval_json(const Evaluation& model, const std::vector<RetrievalResult>& results);

// A line with the columns' names, and a line for each scored token: its position in the split, its id, nats without and
// with the store, -ln of the neighbours' probability of it (inf where no neighbour is followed by it) and the squared
// distance of the nearest one.
std::string retrieval_table(const TokenNeighbours& found, const Interpolation& with);

}  // namespace moe
