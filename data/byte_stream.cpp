#include "data/byte_stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "data/content_hash.h"

namespace moe {

constexpr int64_t kBlockBytes = int64_t{1} << 18;

// The stored bytes of an input, block by block.
class StoredBytes {
 public:
  explicit StoredBytes(const InputFile& input)
      : name_(input.path()), file_(input.open()), size_(file_.size()), block_(as_index(block_bytes(kBlockBytes))) {}

  const std::string& name() const { return name_; }
  // The file's size, and a byte to notice its end, or `most`. The kernel's files say that they have no bytes.
  int64_t block_bytes(int64_t most) const { return size_ > 0 ? std::min(size_ + 1, most) : most; }
  // The next block, empty at the end. Valid until the next call.
  std::string_view next() {
    const int64_t count = file_.read_at(block_.data(), static_cast<int64_t>(block_.size()), bytes_);
    hash_.update(block_.data(), count);
    bytes_ += count;
    return {block_.data(), static_cast<size_t>(count)};
  }
  int64_t bytes() const { return bytes_; }
  uint64_t hash() const { return hash_.value(); }

 private:
  std::string name_;
  PosixFile file_;
  int64_t size_;
  std::vector<char> block_;
  int64_t bytes_ = 0;
  ContentHash hash_;
};

// Unpacks stored bytes. `first` is their first block, which has been read to recognise them.
class Decoder {
 public:
  Decoder(StoredBytes& stored, std::string_view first) : stored_(stored), block_(first) {}
  virtual ~Decoder() = default;
  // As ByteStream::read().
  virtual int64_t read(char* out, int64_t bytes) = 0;

 protected:
  StoredBytes& stored_;
  std::string_view block_;  // what has not been unpacked of the last block
};

namespace {

class PlainDecoder : public Decoder {
 public:
  using Decoder::Decoder;
  int64_t read(char* out, int64_t bytes) override {
    int64_t done = 0;
    while (done < bytes && !block_.empty()) {
      const size_t count = std::min(block_.size(), static_cast<size_t>(bytes - done));
      std::copy_n(block_.data(), count, out + done);
      done += static_cast<int64_t>(count);
      block_.remove_prefix(count);
      if (block_.empty()) block_ = stored_.next();
    }
    return done;
  }
};

// zlib rather than libarchive, whose reader of gzip (3.6 and 3.7) compares neither checksum nor length with what it
// unpacked, so that a damaged file would give other text without an error.
class GzipDecoder : public Decoder {
 public:
  GzipDecoder(StoredBytes& stored, std::string_view first) : Decoder(stored, first) {
    if (inflateInit2(&stream_, 16 + MAX_WBITS) != Z_OK)
      raise<DataError>("{}: zlib cannot be initialised", stored.name());
  }
  GzipDecoder(const GzipDecoder&) = delete;
  GzipDecoder& operator=(const GzipDecoder&) = delete;
  ~GzipDecoder() override { inflateEnd(&stream_); }

  int64_t read(char* out, int64_t bytes) override {
    int64_t done = 0;
    while (done < bytes && !ended_) {
      if (block_.empty()) block_ = stored_.next();
      // zlib counts in unsigned int; it does not write to its input.
      const auto room = static_cast<uInt>(std::min<int64_t>(bytes - done, int64_t{1} << 30));
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(block_.data()));
      stream_.avail_in = static_cast<uInt>(block_.size());
      stream_.next_out = reinterpret_cast<Bytef*>(out + done);
      stream_.avail_out = room;
      const int status = inflate(&stream_, Z_NO_FLUSH);
      const bool at_end = block_.empty();
      done += room - stream_.avail_out;
      block_.remove_prefix(block_.size() - stream_.avail_in);
      if (status == Z_STREAM_END) {
        begin_member();
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        raise<DataError>("{} is damaged: gzip's data cannot be unpacked ({})", stored_.name(),
                         stream_.msg ? stream_.msg : "zlib gives no reason");
      } else if (at_end && stream_.avail_out == room) {
        raise<DataError>("{} is truncated: its gzip data ends after {} bytes", stored_.name(), stored_.bytes());
      }
    }
    return done;
  }

 private:
  // Goes on to the member after the one that has ended, if there is one. Zeros may follow the last one, as on tapes.
  void begin_member() {
    constexpr char kMagic = '\x1f';
    bool padded = false;
    while (true) {
      if (block_.empty()) block_ = stored_.next();
      if (block_.empty()) break;
      const size_t text = std::min(block_.find_first_not_of('\0'), block_.size());
      padded = padded || text > 0;
      block_.remove_prefix(text);
      if (block_.empty()) continue;
      if (padded || block_.front() != kMagic) {
        raise<DataError>("{}: other data follows gzip's, at byte {}; is it two files in one?", stored_.name(),
                         stored_.bytes() - static_cast<int64_t>(block_.size()));
      }
      inflateReset(&stream_);
      return;
    }
    ended_ = true;
  }

  z_stream stream_{};
  bool ended_ = false;
};

// Compressions that libarchive reads, without a look at archives (its raw format).
class ArchiveDecoder : public Decoder {
 public:
  ArchiveDecoder(StoredBytes& stored, std::string_view first) : Decoder(stored, first), archive_(archive_read_new()) {
    if (!archive_) raise<DataError>("{}: libarchive cannot be initialised", stored.name());
    archive_read_support_filter_xz(archive_.get());
    archive_read_support_filter_zstd(archive_.get());
    archive_read_support_format_raw(archive_.get());
    archive_read_support_format_empty(archive_.get());
    if (archive_read_open(archive_.get(), this, nullptr, give_block, nullptr) != ARCHIVE_OK) fail();
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(archive_.get(), &entry);
    ended_ = status == ARCHIVE_EOF;
    if (!ended_ && status != ARCHIVE_OK) fail();
  }

  int64_t read(char* out, int64_t bytes) override {
    int64_t done = 0;
    while (done < bytes && !ended_) {
      if (unpacked_.empty() && !unpack()) break;
      const size_t count = std::min(unpacked_.size(), static_cast<size_t>(bytes - done));
      std::copy_n(unpacked_.data(), count, out + done);
      done += static_cast<int64_t>(count);
      unpacked_.remove_prefix(count);
    }
    return done;
  }

 private:
  struct Free {
    void operator()(archive* a) const { archive_read_free(a); }
  };

  // libarchive's callback for stored bytes. It is called from C, so an exception waits until libarchive has returned.
  static la_ssize_t give_block(archive* caller, void* self, const void** block) {
    auto& decoder = *static_cast<ArchiveDecoder*>(self);
    try {
      const std::string_view given =
          decoder.block_.empty() ? decoder.stored_.next() : std::exchange(decoder.block_, std::string_view());
      *block = given.data();
      return static_cast<la_ssize_t>(given.size());
    } catch (...) {
      decoder.failure_ = std::current_exception();
      archive_set_error(caller, EIO, "cannot be read");
      return ARCHIVE_FATAL;
    }
  }
  bool unpack() {
    const void* block = nullptr;
    size_t bytes = 0;
    la_int64_t offset = 0;
    const int status = archive_read_data_block(archive_.get(), &block, &bytes, &offset);
    ended_ = status == ARCHIVE_EOF;
    if (!ended_ && status != ARCHIVE_OK) fail();
    unpacked_ = ended_ ? std::string_view() : std::string_view(static_cast<const char*>(block), bytes);
    return !ended_;
  }
  [[noreturn]] void fail() {
    if (failure_) std::rethrow_exception(failure_);
    const char* reason = archive_error_string(archive_.get());
    raise<DataError>("{} cannot be unpacked; is it truncated or damaged? ({})", stored_.name(),
                     reason ? reason : "libarchive gives no reason");
  }

  std::unique_ptr<archive, Free> archive_;
  std::exception_ptr failure_;
  std::string_view unpacked_;
  bool ended_ = false;
};

template <class Member>
std::unique_ptr<Decoder> make(StoredBytes& stored, std::string_view first) {
  return std::make_unique<Member>(stored, first);
}

struct Compression {
  std::string_view name;
  std::string_view magic;
  std::unique_ptr<Decoder> (*make)(StoredBytes& stored, std::string_view first);
};
constexpr std::array kCompressions = {
    Compression{"gzip", "\x1f\x8b", make<GzipDecoder>},
    Compression{"xz", std::string_view("\xFD\x37zXZ\0", 6), make<ArchiveDecoder>},
    Compression{"zstd", "\x28\xB5\x2F\xFD", make<ArchiveDecoder>},
};

}  // namespace

ByteStream::ByteStream(const InputFile& input) : stored_(std::make_unique<StoredBytes>(input)) {
  const std::string_view first = stored_->next();
  const auto* const found = std::find_if(kCompressions.begin(), kCompressions.end(),
                                         [&](const Compression& c) { return first.starts_with(c.magic); });
  if (found != kCompressions.end()) compression_ = found->name;
  decoder_ = (found == kCompressions.end() ? make<PlainDecoder> : found->make)(*stored_, first);
}

ByteStream::ByteStream(ByteStream&&) noexcept = default;
ByteStream& ByteStream::operator=(ByteStream&&) noexcept = default;
ByteStream::~ByteStream() = default;

int64_t ByteStream::read(char* out, int64_t bytes) {
  return decoder_->read(out, bytes);
}

int64_t ByteStream::block_bytes(int64_t most) const {
  return compression_.empty() ? stored_->block_bytes(most) : most;
}

std::string_view ByteStream::compression() const {
  return compression_;
}

int64_t ByteStream::stored_bytes() const {
  return stored_->bytes();
}

uint64_t ByteStream::stored_hash() const {
  return stored_->hash();
}

std::string read_bytes(const std::string& path) {
  ByteStream stream{InputFile(path)};
  const size_t block = as_index(stream.block_bytes(kBlockBytes));
  std::string bytes;
  for (size_t done = 0;;) {
    bytes.resize(done + std::max(done, block));
    done += static_cast<size_t>(stream.read(bytes.data() + done, static_cast<int64_t>(bytes.size() - done)));
    if (done < bytes.size()) {
      bytes.resize(done);
      return bytes;
    }
  }
}

}  // namespace moe
