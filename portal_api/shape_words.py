"""What shapes and enumerations mean, in Japanese; a model's own English words are for who reads the code."""

SHAPES = {
    "Account": "アカウント(契約)",
    "Advice": (
        "案内に足りないこと。limit_not_mentioned: 50秒以内であること、"
        "hash_not_mentioned: 終わりに「#」を押すこと"
    ),
    "Call": "1つの通話",
    "CallerKind": "number: 番号あり、withheld: 非通知、payphone: 公衆電話、unavailable: 表示圏外",
    "Day": "曜日。monからsunまでと、holiday: 祝日",
    "Deletion": "1件の削除の結果",
    "Deletions": "まとめて削除した結果",
    "Delivery": "1つの宛先への1つの通知",
    "DeliveryPurpose": (
        "通知の目的。message: 留守レポ、fax: FAX、test: 試し送信、warning: 通知サービスの不具合"
    ),
    "DeliveryState": "waiting: 送信待ち、sent: 送信済み、failed: 失敗",
    "Device": "端末(ID)",
    "DeviceWithPassword": "端末(ID)と、そのパスワード",
    "Download": "ZIPにまとめるメッセージ",
    "Duplicates": (
        "同じ名前と番号が既にある行の扱い。skip: 取り込まない、update: 上書きする、add: 別に追加する"
    ),
    "EndedBy": "録音の終わり方。hash: #、limit: 50秒、hangup: 切断、silence: 無音、error: 障害",
    "EntryDeletion": "1件の削除の結果",
    "EntryDeletions": "まとめて削除した結果",
    "EntryGiven": "登録する相手先",
    "EntryKind": (
        "相手先の種類。number: 番号、prefix: 番号の先頭、withheld: 非通知、payphone: 公衆電話、"
        "unavailable: 表示圏外"
    ),
    "EntrySelection": "選んだ相手先",
    "FieldError": "1つの項目の誤り",
    "ImportState": "preview: 確認中、applied: 登録済み",
    "Kinds": "通知サービスの種類の一覧",
    "LineError": "読み取れない行",
    "Live": "動いているか",
    "Marked": "1件の結果",
    "Markings": "まとめて変えた結果",
    "Message": "留守レポのメッセージ",
    "MessageSource": "control_plane: 通常の受付、dialplan: 制御部の停止中に受け付けたもの",
    "MessageStatus": "open: 未対応、in_progress: 対応中、done: 完了",
    "Milestone": "通話の経過の1つ",
    "NewAccount": "新しいアカウント",
    "NewDevice": "新しい端末",
    "NewNumber": "新しい電話番号",
    "NewWhitelist": "新しいホワイトリスト",
    "Number": "電話番号",
    "NumberSummary": "電話番号ごとのメッセージの数",
    "NumberUse": "voice: 音声用、fax: FAX用",
    "PartState": "部分の状態",
    "PhonebookSelection": "選んだ登録先",
    "ProblemDetails": "誤り(RFC 9457)",
    "Prompt": "登録した音声",
    "PromptDeletion": "1件の削除の結果",
    "PromptDeletions": "まとめて削除した結果",
    "PromptPurpose": (
        "音声の用途。start: 開始音声、end: 終了音声、closed: 応答できないときの案内、recording: 録音前の案内"
    ),
    "PromptSelection": "選んだ音声",
    "PromptTemplate": "案内の文例",
    "Readiness": "電話を受けられるか",
    "Rerun": "文字起こしのやり直し",
    "Role": "operator: 運用者、administrator: 管理者、member: メンバー、read_only: 閲覧のみ",
    "Schedule": "電話番号のスケジュール",
    "Selection": "選んだもの",
    "Source": (
        "ルールを選んだ設定。manual: 動作設定、override: 手動の切り替え、weekly: 曜日、"
        "holiday: 祝日、exception: 例外日、default: スケジュールの既定"
    ),
    "StandbyType": "one_button: ボタン1つ、two_buttons: ボタン2つ、list: 一覧",
    "Token": "APIのトークン",
    "TokenWithSecret": "APIのトークンと、その値",
    "TranscriptChange": "文字起こしの修正",
    "TranscriptState": "waiting: 文字起こし待ち、done: 済み、empty: 音声なし、failed: できなかった",
    "UsedBy": "使用しているもの",
    "VoicePattern": "音声パターン",
    "VoicePatterns": "音声パターンの一覧",
    "WhenUnanswered": "だれも出ないときの扱い。rusurepo: 留守レポ、announcement: 案内を流して切る",
    "Whitelist": "ホワイトリスト",
    "Word": "文字起こしの1語",
    "RulesRule": "留守レポのルール",
    "AccessChange": "FAX番号を使えるIDの選択",
    "Cancelled": "取り消した数",
    "DeviceAccess": "あるIDがFAX番号を使えるか",
    "FaxChange": "FAXの既読の変更",
    "FaxDeletion": "1件の削除の結果",
    "FaxDeletions": "まとめて削除した結果",
    "FaxDirection": "in: 受信、out: 送信",
    "FaxMarking": "まとめて変える既読",
    "FaxResultClass": (
        "FAXの結果の種類。ok: 正常、damaged: 乱れた行がある、busy: 話し中、no_answer: 応答なし、"
        "not_a_fax: 相手がFAXではない、cut_off: 途中で切れた、bad_line: 回線の品質が悪い、"
        "not_capable: 相手の機能が足りない、bad_number: 番号が使われていない、refused: 拒否された、"
        "network: 回線の障害、unknown: 届いたか分からない、bad_document: 文書を変換できない、"
        "cancelled: 取り消した、our_fault: こちらの障害"
    ),
    "FaxState": (
        "FAXの状態。preparing: 変換中、waiting: 送信待ち、dialling: 発信中、sending: 送信中、"
        "sent: 送信済み、failed: 失敗、cancelled: 取り消し、received: 受信済み、partial: 途中まで受信"
    ),
    "FaxTransport": "FAXの通信方式。t38: T.38、g711: 音声(G.711)",
    "FaxUse": (
        "通話をFAXとして受けるか。none: 受けない、shared: FAXの音が聞こえたら受ける、"
        "only: すべてFAXとして受ける"
    ),
    "NumberTrays": "ある電話番号のトレイの件数",
    "SubmissionSummary": "送信の概要",
    "Actor": "行った人またはトークン",
    "ActorKind": "user: 利用者、token: APIのトークン、terminal: サーバー上のコマンド",
    "AuditAction": (
        "行われたことの種類。created: 作成、changed: 変更、deleted: 削除、signed_in: サインイン、"
        "sign_in_refused: サインインの失敗、signed_out: サインアウト"
    ),
    "AuditLogEntry": "操作の記録の1件",
    "Confirmation": "ワンタイムコードによる確認",
    "DidLocation": (
        "着信番号の読み取り先。request_uri: Request-URI、to: Toヘッダー、"
        "p_called_party_id: P-Called-Party-IDヘッダー"
    ),
    "EndAll": "すべてのサインインを終える指定",
    "Ended": "終えた数",
    "NewOwnPassword": "自分の新しいパスワード",
    "NewTrunk": "新しい回線",
    "NewUser": "新しい利用者",
    "OwnChange": "自分の情報の変更",
    "PasswordReset": "パスワードの作り直し",
    "Proof": "本人の確認",
    "Recording": "通話録音",
    "RecordingDeletion": "1件の削除の結果",
    "RecordingDeletions": "まとめて削除した結果",
    "RecordingDownload": "ZIPにまとめる通話録音",
    "RecordingState": (
        "通話録音の状態。空: 録音していない、announcing: 案内中、recording: 録音中、"
        "paused: 一時停止中、stopped: 停止した、unannounced: 案内を再生できず録音していない"
    ),
    "RecoveryCodes": "回復コード",
    "Rotation": "トークンの作り直し",
    "Section": (
        "明細の区分。basic: 基本料、option: オプション、initial: 初期費用、call: 通話料、"
        "usage: 従量、deposit: チャージ(不課税)、adjustment: 調整"
    ),
    "Session": "サインインの1つ",
    "SignIn": "サインイン",
    "SignedIn": "サインインの結果",
    "SubmissionState": "送信の依頼の状態。preparing: 変換中、ready: 変換済み、refused: 文書を送れない",
    "Thing": "対象のもの",
    "Trunk": "回線(トランク)",
    "TrunkState": (
        "回線への登録の状態。registering: 応答待ち、registered: 登録済み、"
        "rejected: 相手が登録を拒否している、unreachable: 相手から応答がない"
    ),
    "User": "利用者",
    "UserWithPassword": "利用者と、その最初のパスワード",
    "AdjustmentGiven": "請求書を修正する1行",
    "BlockedAddress": "遮断中のIPアドレス",
    "BlockedCaller": "着信拒否リストの1件",
    "BlockedSelection": "着信拒否リストから外すもの",
    "CallRate": "1つの発信先の通話料",
    "CallSum": "ある電話番号、またはあるIDの、その月の通話の合計",
    "CallWithLegs": "1つの通話と、電話機・回線ごとの記録",
    "CallingChange": "端末の発信と内線の設定の変更",
    "Card": "登録したカード。番号は保存しない",
    "CorrectionGiven": "請求書の修正",
    "Encoding": "文字コード。utf-8: BOM付きのUTF-8、shift_jis: Shift_JIS(CP932)",
    "Direction": "inbound: 着信、outbound: 発信、internal: 内線",
    "DestinationClass": (
        "発信先の種類。emergency: 緊急通報、internal: 内線、free: フリーダイヤル、fixed: 固定電話、"
        "mobile: 携帯電話、ip: 050、navi: 0570、special: 1XYと#番号、premium: 情報料・衛星電話、"
        "overseas: 海外"
    ),
    "DeviceChange": "端末の変更",
    "FailedLogin": "同じ接続元とユーザー名で続けて失敗したログイン",
    "InvoiceKind": "invoice: 請求書、correction: 修正(元の請求書は変わらない)",
    "InvoiceLine": "請求書の明細の1行",
    "InvoiceOfAnybody": "請求書と、そのアカウント",
    "ItemRate": "1つの品目(基本料、オプション)の料金",
    "LegRole": "caller: かけた側、callee: 呼ばれた側",
    "LoginFailure": "wrong_password: パスワードの誤り、unknown_device: 存在しないユーザー名",
    "Method": "登録した決済方法",
    "MethodState": "verifying: カードを確認中、active: 使用できる、refused: カードを登録できなかった",
    "NewBlockedCaller": "着信拒否リストに加えるもの",
    "NewRelease": "端末の解除の依頼",
    "NewSubscription": "新しい契約",
    "NumberStyle": (
        "回線に番号を渡す書き方。national: 国内の書き方(0312345678、海外は010から)、e164: +81から"
    ),
    "OptionsGiven": "契約するオプション",
    "OutboundChange": "アカウントの発信の設定の変更",
    "Payment": "1つの請求書のお支払い",
    "PaymentKind": "bank_debit: 口座振替、bank_transfer: 銀行振込、card: クレジットカード",
    "PaymentMethod": "決済方法と、いつから変わるか",
    "PaymentState": "waiting: お支払い待ち、processing: 処理中、paid: 済み、failed: できなかった",
    "PlanRate": "1つのかけ放題の料金",
    "ProvisioningLink": "電話アプリを設定する、1回だけ使えるリンク",
    "Registration": "ログイン中の1台",
    "Release": "端末の解除の1回",
    "ReleaseState": "pending: 処理中、verified: 確認した、failed: 確認できなかった",
    "Released": "遮断をやめるIPアドレスの指定",
    "RingPlanChange": "着信時に鳴らす端末と順序の変更",
    "SubscriptionEnd": "契約の終わり",
    "System": (
        "電話機のOS。ios、android、windows、macos、linux、desk_phone: 据え置き型の電話機、unknown: 分からない"
    ),
    "TaxSum": "1つの税率の合計と、その消費税額",
    "TopUp": "チャージの1回",
    "TopUpSource": "manual: 手動、automatic: 自動",
    "Treatment": (
        "着信拒否の方法。reject: 着信拒否、busy: 話し中、announcement: 案内を流して切る、"
        "rusurepo: 留守レポ(ルールがなければ案内)"
    ),
    "Turn": "鳴らす1台",
    "Unblocked": "1件を外した結果",
    "UnblockedCallers": "まとめて外した結果",
    "RecordedSpan": "一時停止で分かれた録音の1区間",
}
