#include "data/document_writer.h"

#include <algorithm>
#include <exception>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "data/chat_template.h"

namespace moe {

constexpr int64_t kLongDocument = 1 << 17;          // bytes; a tokenizer encodes a longer one by all threads
constexpr int64_t kMostWaiting = int64_t{4} << 20;  // bytes

// Calls write(), and adds the source and the split to the message of a DataError.
template <class Write>
static void naming_source(const CorpusFolderWriter& folder, int64_t source, int split, Write write) {
  try {
    write();
  } catch (const DataError& error) {
    raise<DataError>("{} ({}): {}", folder.source_name(source), kSplitNames[as_index(split)], error.what());
  }
}

void DocumentWriter::add(const Piece& piece) {
  if (piece.begins || piece.split != split_) {
    end_document(piece.begins);
    split_ = piece.split;
    source_ = piece.source;
    if (num_waiting_ == waiting_.size()) waiting_.emplace_back();
    Waiting& document = waiting_[num_waiting_++];
    document.split = piece.split;
    document.text.clear();
    document.offset = piece.offset;
    document.source = piece.source;
    document.in_reply = in_reply_ && !piece.begins;
  }
  hasher_.add(piece.text);
  if (const size_t mark = piece.text.find_last_of(kReplyMarks); folder_.of_chats() && mark != piece.text.npos)
    in_reply_ = piece.text[mark] == kReplyBegins;
  if (is_long_) bytes_[as_index(split_)] += std::ssize(piece.text);
  if (is_long_) return write_long(piece.text, piece.offset, false);
  Waiting& document = waiting_[num_waiting_ - 1];
  document.text += piece.text;
  waiting_bytes_ += std::ssize(piece.text);
  if (std::ssize(document.text) <= kLongDocument || folder_.of_chats()) return;
  bytes_[as_index(split_)] += std::ssize(document.text);
  --num_waiting_;
  write_waiting();
  is_long_ = true;
  folder_.begin_document(split_, document.source);
  folder_.pass_document(split_);
  write_long(document.text, document.offset, false);
}

void DocumentWriter::write_long(std::string_view text, int64_t offset, bool ends) {
  naming_source(folder_, source_, split_, [&] { folder_.write(split_, text, offset, ends); });
}

void DocumentWriter::end_document(bool is_complete) {
  if (split_ < 0) return;
  hashes_[as_index(split_)].push_back(hasher_.end());
  if (is_long_) {
    write_long({}, 0, true);
    if (is_complete) folder_.write(split_, mark_);
    is_long_ = false;
    return;
  }
  waiting_[num_waiting_ - 1].is_complete = is_complete;
  if (waiting_bytes_ > kMostWaiting) write_waiting();
}

void DocumentWriter::write_waiting() {
  std::vector<EncodedText> encoded(num_waiting_);
  std::vector<std::exception_ptr> errors(num_waiting_);
  std::vector<bool> is_taken(num_waiting_);
  for (size_t i = 0; i < num_waiting_; ++i)
    is_taken[i] = folder_.take_document(waiting_[i].split, waiting_[i].text, encoded[i]);
#pragma omp parallel for schedule(dynamic, 1)
  for (size_t i = 0; i < num_waiting_; ++i) {
    if (is_taken[i]) continue;
    try {
      encoded[i] = folder_.of_chats() ? folder_.encode_chat(waiting_[i].text, waiting_[i].offset, waiting_[i].in_reply)
                                      : folder_.encode(waiting_[i].text, waiting_[i].offset);
    } catch (...) {
      errors[i] = std::current_exception();
    }
  }
  for (size_t i = 0; i < num_waiting_; ++i) {
    const Waiting& document = waiting_[i];
    naming_source(folder_, document.source, document.split, [&] {
      if (errors[i]) std::rethrow_exception(errors[i]);
      folder_.begin_document(document.split, document.source);
      folder_.write(document.split, encoded[i]);
      bytes_[as_index(document.split)] += encoded[i].bytes;
    });
    if (document.is_complete) folder_.write(document.split, mark_);
  }
  num_waiting_ = 0;
  waiting_bytes_ = 0;
}

void DocumentWriter::finish() {
  end_document(true);
  write_waiting();
  std::sort(hashes_[0].begin(), hashes_[0].end());
}

DocumentCounts DocumentWriter::counts(int split) const {
  const std::vector<uint64_t>& hashes = hashes_[as_index(split)];
  const auto occurs = [&](uint64_t hash) { return std::binary_search(hashes_[0].begin(), hashes_[0].end(), hash); };
  return {std::ssize(hashes), std::count_if(hashes.begin(), hashes.end(), occurs)};
}

}  // namespace moe
