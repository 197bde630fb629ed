// A tree is (LABEL WORD) or (LABEL TREE TREE); a sentence is the words from left to right.
#include "data/texts/text_format.h"
#include "data/texts/text_lines.h"

namespace moe {
namespace {

constexpr int32_t kLargest = 4;

// Replaces the treebank's spelling of brackets.
std::string_view plain(std::string_view word) {
  if (word == "-LRB-") return "(";
  if (word == "-RRB-") return ")";
  return word;
}

// Parses one line, from left to right.
class Tree {
 public:
  Tree(std::string_view text, const std::string& path, int64_t line) : text_(text), path_(path), line_(line) {}

  // Appends the words of the tree to `sentence` and returns the label of its root.
  int32_t read_whole(std::string& sentence) {
    const int32_t label = read(sentence, 0);
    skip_blanks();
    if (at_ < text_.size()) refuse_line(path_, line_, "text follows the tree at column {}", at_ + 1);
    return label;
  }

 private:
  static constexpr int kDeepest = 1000;

  int32_t read(std::string& sentence, int depth) {
    if (depth > kDeepest) refuse_line(path_, line_, "the tree is deeper than {} levels", kDeepest);
    expect('(');
    const int32_t label = label_from(word(), kLargest, path_, line_, "label");
    skip_blanks();
    if (peek() != '(') {
      if (!sentence.empty()) sentence += ' ';
      sentence += plain(word());
    } else {
      while (peek() == '(') {
        read(sentence, depth + 1);
        skip_blanks();
      }
    }
    expect(')');
    return label;
  }
  std::string_view word() {
    skip_blanks();
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ' ' && text_[at_] != '(' && text_[at_] != ')') ++at_;
    if (begin == at_) refuse_line(path_, line_, "a label or a word is missing at column {}", at_ + 1);
    return text_.substr(begin, at_ - begin);
  }
  void expect(char c) {
    skip_blanks();
    if (peek() != c) refuse_line(path_, line_, "expected '{}' at column {}", c, at_ + 1);
    ++at_;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_blanks() {
    while (peek() == ' ') ++at_;
  }

  std::string_view text_;
  const std::string& path_;
  int64_t line_;
  size_t at_ = 0;
};

void read_part(const std::string& folder, const std::string& part, TextSet& set) {
  const auto path = find_input(folder, "trees_" + part + ".txt");
  if (!path) return;
  for_each_line(*path, [&](std::string_view line, int64_t number) {
    std::string sentence;
    const int32_t label = Tree(line, *path, number).read_whole(sentence);
    set.add(sentence, label);
  });
}

}  // namespace

bool has_sst5_texts(const std::string& folder) {
  return find_input(folder, "trees_train.txt").has_value();
}

TextFiles read_sst5_texts(const std::string& folder) {
  TextFiles files;
  files.classes = {"very negative", "negative", "neutral", "positive", "very positive"};
  read_part(folder, "train", files.train);
  read_part(folder, "dev", files.validation);
  read_part(folder, "test", files.test);
  if (files.train.size() == 0) raise<DataError>("{}/trees_train.txt is absent or empty", folder);
  return files;
}

}  // namespace moe
