// How many training samples each class of labelled data has: in words, and what is doubtful about them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace moe {

struct ClassCounts {
  std::vector<std::string> names;
  std::vector<int64_t> counts;  // of training samples, by class
  int32_t first = 0;            // class of the training file's first sample

  // "negative 3310, positive 3610": the 20 largest classes, the others summed up.
  std::string in_words() const;
  // Sentences for a user, none where nothing is doubtful: classes without samples, a class whose only sample is the
  // first one (a heading), others with one sample, and names that differ in blanks or case alone.
  std::vector<std::string> doubts() const;
};

}  // namespace moe
