#include "data/file_kind.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "data/byte_stream.h"

namespace moe {
namespace {

using std::string_view_literals::operator""sv;

// A kind of file by bytes that all of its files have at one place.
struct FileKind {
  size_t at;
  std::string_view magic;
  std::string_view name;
  std::string_view hint;
};
constexpr auto kTable = "write its texts to a file of JSON lines, one {\"text\": ...} each, and give that"sv;
constexpr auto kParquet =
    "convert it with: python3 -c \"import pandas; pandas.read_parquet('IN').to_json('OUT.jsonl', orient='records', "
    "lines=True)\", and name the column of the texts with --field"sv;
constexpr auto kTensors = "it holds numbers, not text"sv;
constexpr auto kUnpack = "unpack it and give the text files or their folder"sv;
constexpr auto kTwice = "it was compressed twice; unpack it once"sv;
constexpr auto kConvert = "convert it to UTF-8 with iconv"sv;
constexpr auto kTokens = "its text is already tokens; train on it with data.path"sv;
constexpr auto kImages = "classify images with task: classify and data.path, their folder"sv;
constexpr auto kPicture = "extract its text first"sv;
constexpr auto kProgram = "give text files"sv;

constexpr std::array kKinds = std::to_array<FileKind>({
    {0, "PAR1", "a Parquet file", kParquet},
    {0, "ARROW1", "an Arrow file", kTable},
    {0, "FEA1", "a Feather file", kTable},
    {0, "\xFF\xFF\xFF\xFF", "an Arrow stream or another binary file", kTable},
    {0, "Obj\x01", "an Avro file", kTable},
    {0, "ORC\x03", "an ORC file", kTable},
    {0, "SQLite format 3\0"sv, "an SQLite database", kTable},
    {0, "\x89HDF\r\n\x1A\n", "an HDF5 file", kTable},
    {0, "\0\0\x08"sv, "an IDX file, as of MNIST", kImages},
    {0, "PK\x03\x04", "a zip archive", kUnpack},
    {0, "PK\x05\x06", "an empty zip archive", kUnpack},
    {0, "7z\xBC\xAF\x27\x1C", "a 7z archive", kUnpack},
    {0, "Rar!\x1A\x07", "a RAR archive", kUnpack},
    {257, "ustar", "a tar archive", kUnpack},
    {0, "!<arch>\n", "an ar archive", kUnpack},
    {4, "1AY&SY", "a bzip2 file", "unpack it with bunzip2; gzip, xz and zstd are read as they are"},
    {0, "\x04\x22\x4D\x18", "an lz4 file", "unpack it with unlz4; gzip, xz and zstd are read as they are"},
    {0, "LZIP", "an lzip file", "unpack it with lzip -d; gzip, xz and zstd are read as they are"},
    {0, "\x5D\0\0"sv, "an lzma file", "unpack it with unlzma; gzip, xz and zstd are read as they are"},
    {0, "\x1F\x9D", "a file of compress", "unpack it with uncompress; gzip, xz and zstd are read as they are"},
    {0, "\x1F\x8B", "a gzip file inside of a compressed file", kTwice},
    {0, "\xFD\x37zXZ\0"sv, "an xz file inside of a compressed file", kTwice},
    {0, "\x28\xB5\x2F\xFD", "a zstd file inside of a compressed file", kTwice},
    {0, "%PDF-", "a PDF document", "extract its text first, for example with pdftotext"},
    {0, "{\\rtf", "a document in RTF", "save it as plain text"},
    {0, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "an Office document", "save it as plain text"},
    {0, "\x93NUMPY", "a NumPy array", kTensors},
    {0, "GGUF", "a GGUF model", kTensors},
    {0,
     "\x7F"
     "ELF",
     "a program (ELF)", kProgram},
    {0, "\x88\xD8\x34\x01", "a file of 16-bit tokens (.bin)", kTokens},  // little-endian 20240520
    {0, "\xA1\xD9\x34\x01", "a file of 32-bit tokens (.bin)", kTokens},  // 20240801
    {0, "\x89PNG\r\n\x1A\n", "a PNG image", kPicture},
    {0, "\xFF\xD8\xFF", "a JPEG image", kPicture},
    {0, "GIF8", "a GIF image", kPicture},
    {0, "\0\0\xFE\xFF"sv, "text in UTF-32", kConvert},
    {0, "\xFF\xFE\0\0"sv, "text in UTF-32", kConvert},
    {0, "\xFF\xFE", "text in UTF-16", kConvert},
    {0, "\xFE\xFF", "text in UTF-16", kConvert},
});

// A JSON header, whose length stands before it in 8 bytes.
bool is_safetensors(std::string_view sample) {
  if (sample.size() < 9 || sample[8] != '{') return false;
  return std::any_of(sample.begin() + 4, sample.begin() + 8, [](char c) { return c == '\0'; });
}

// UTF-16 without a byte order mark: NULs are at even places or at odd ones, and often there.
bool looks_like_utf16(std::string_view sample) {
  std::array<size_t, 2> nuls = {};
  for (size_t i = 0; i < sample.size(); ++i) nuls[i % 2] += sample[i] == '\0';
  const auto [few, many] = std::minmax(nuls[0], nuls[1]);
  return sample.size() >= 16 && 5 * many > sample.size() && 20 * few < many;
}

// Control characters that texts do not have. Texts have tabs, line ends, page breaks, backspaces and escape sequences.
bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && !(byte >= 0x08 && byte <= 0x0D) && byte != 0x1B) || byte == 0x7F;
}

bool too_many(int64_t controls, int64_t bytes) {
  return controls * 100 > bytes;
}

// Whether a file with this sample is of that kind. Four letters could begin a text, so they count only beside bytes
// that no text has.
bool is_kind(const FileKind& kind, std::string_view sample) {
  if (sample.size() < kind.at || !sample.substr(kind.at).starts_with(kind.magic)) return false;
  const auto is_letter = [](char c) { return c > ' ' && c <= '~'; };
  return kind.magic.size() > 4 || !std::all_of(kind.magic.begin(), kind.magic.end(), is_letter) ||
         std::any_of(sample.begin(), sample.end(), is_control);
}

[[noreturn]] void refuse(const std::string& name, std::string_view kind, std::string_view hint) {
  raise<DataError>("{} is {}, which is not read as text; {}", name, kind, hint);
}

}  // namespace

std::string_view without_mark(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  return text;
}

void TextCheck::begin(std::string_view sample) const {
  for (const FileKind& kind : kKinds) {
    if (is_kind(kind, sample)) refuse(name_, kind.name, kind.hint);
  }
  if (is_safetensors(sample)) refuse(name_, "a safetensors file", kTensors);
  if (looks_like_utf16(sample)) refuse(name_, "text in UTF-16", kConvert);
  if (const size_t nul = sample.find('\0'); nul != sample.npos) {
    raise<DataError>("{} is not text: byte {} is 0; give text files", name_, nul);
  }
  const int64_t controls = std::count_if(sample.begin(), sample.end(), is_control);
  if (too_many(controls, std::ssize(sample))) {
    raise<DataError>("{} is not text: {} of its first {} bytes are control characters; give text files", name_,
                     controls, sample.size());
  }
}

void TextCheck::add(std::string_view text) {
  bytes_ += std::ssize(text);
  controls_ += std::count_if(text.begin(), text.end(), is_control);
}

void TextCheck::end() const {
  if (too_many(controls_, bytes_)) {
    raise<DataError>("{} is not text: {} of its {} bytes are control characters; give text files", name_, controls_,
                     bytes_);
  }
}

std::string read_text_input(const std::string& path) {
  std::string bytes = read_bytes(path);
  TextCheck check(path);
  check.begin(std::string_view(bytes).substr(0, as_index(kTextSample)));
  check.add(bytes);
  check.end();
  bytes.erase(0, bytes.size() - without_mark(bytes).size());
  return bytes;
}

}  // namespace moe
