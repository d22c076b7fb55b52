// @ts-check
/**
 * Soft notification tones. They are synthesized: there is no sound file to load.
 *
 * @module
 */

/** Frequency in Hz, and start in seconds. @typedef {readonly [number, number]} Tone */

const PEAK_GAIN = 0.08; // of 1
const TONE_SECONDS = 0.4;

export class TonePlayer {
  /** @type {AudioContext | undefined} */
  #audio;

  /** Whether sounds may be played: browsers refuse and log a warning before the first user interaction. */
  get isAllowed() {
    return navigator.userActivation?.hasBeenActive ?? true;
  }

  /** @param {readonly Tone[]} tones */
  play(tones) {
    if (!this.isAllowed || !("AudioContext" in globalThis)) {
      return;
    }
    this.#audio ??= new AudioContext();
    const audio = this.#audio;
    audio.resume().then(
      () => {
        for (const [frequency, begin] of tones) {
          playTone(audio, frequency, audio.currentTime + begin);
        }
      },
      () => {}, // no audio device: the caller shows a visual notice as well
    );
  }
}

/**
 * @param {AudioContext} audio
 * @param {number} frequency
 * @param {number} startSeconds
 */
function playTone(audio, frequency, startSeconds) {
  const oscillator = audio.createOscillator();
  const gain = audio.createGain();
  oscillator.frequency.value = frequency;
  gain.gain.setValueAtTime(0, startSeconds);
  gain.gain.linearRampToValueAtTime(PEAK_GAIN, startSeconds + 0.02);
  gain.gain.exponentialRampToValueAtTime(0.0001, startSeconds + TONE_SECONDS);
  oscillator.connect(gain).connect(audio.destination);
  oscillator.start(startSeconds);
  oscillator.stop(startSeconds + TONE_SECONDS);
}
